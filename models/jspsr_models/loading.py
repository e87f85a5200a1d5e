"""From named tensors to a network, every one of them exactly what is expected."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jspsr_models.convert import released_name
from jspsr_models.errors import WeightsError
from jspsr_models.info import WeightsInfo, default_height_range, parse_metadata
from jspsr_models.inputs import GUIDE_CHANNELS
from jspsr_models.network import JSPSR, MAX_NUM_FEATURE, MIN_NUM_FEATURE
from jspsr_models.reading import check_size, read_tensors
from jspsr_models.registry import WeightsEntry
from jspsr_models.weights import check_sha256, locate, record_sha256

# What a file says about a network and its tensors show: they must agree.
_STRUCTURE = ("inputs", "num_feature", "propagation")

# What the names in the state of a training begin with, which holds more than the network.
IN_TRAINING = "network."


def load_network(
    path_or_name: str | os.PathLike[str],
    *,
    resolution: float | None = None,
    map_location: str | torch.device = "cpu",
) -> tuple[JSPSR, WeightsInfo]:
    """Load weights by path or by name in the registry.

    Args:
        path_or_name: a file of `save_network`, a checkpoint in the layout of the released ones, or a name in
            `jspsr_models.registry.REGISTRY`.
        resolution: of the training grid in metres, for files that do not state it; where the file does not
            state the height range either, it follows from the resolution.
        map_location: device of the network.

    Returns:
        The network in evaluation mode, and what is known about its weights.

    Raises:
        WeightsError: for a file that is missing, damaged, changed since it was recorded, holds more than
            plain tensors, or is not exactly one JSPSR network.
    """
    path, entry = locate(path_or_name)
    network, info = load_file(path, entry=entry, resolution=resolution)
    if entry is not None and not entry.info.sha256:
        record_sha256(info.sha256, path)
    return network.to(map_location), info


def load_file(
    path: Path,
    *,
    entry: WeightsEntry | None = None,
    label: str | None = None,
    resolution: float | None = None,
) -> tuple[JSPSR, WeightsInfo]:
    """Load a file, held against a registry entry if one is given; for the rest see `load_network`.

    Args:
        path: the file.
        entry: what the file must be.
        label: what messages call the file, in place of its path.
        resolution: see `load_network`.
    """
    label = label or str(path)
    if not path.is_file():
        raise WeightsError(f"{label} is not a file; give a checkpoint or the name of known weights.")
    try:
        with path.open("rb") as file:
            check_size(file, label=label)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            check_sha256(sha256, path, entry)
            file.seek(0)
            tensors, metadata = read_tensors(file, label=label)
    except OSError as error:
        raise WeightsError(f"{label} cannot be read: {error.strerror or error}.") from error
    network = _build(tensors, label)
    stated = parse_metadata(metadata, source=label) if metadata is not None else {}
    info = _describe(network, stated, entry, label)
    return network, _complete(dataclasses.replace(info, sha256=sha256), path, resolution)


def _describe(network: JSPSR, stated: Mapping[str, Any], entry: WeightsEntry | None, label: str) -> WeightsInfo:
    """Join what the tensors show, the file states and the registry knows; the registry goes first."""
    shown = {field: getattr(network, field) for field in _STRUCTURE}
    sources = [("its metadata", stated)]
    if entry is not None:
        sources.append(("the registry", vars(entry.info)))
    for source, fields in sources:
        for field, value in shown.items():
            if fields.get(field, value) != value:
                raise WeightsError(
                    f"{label} holds a network with {field} = {value}, but {source} says {fields[field]!s:.40}; "
                    "it is not the file it claims to be."
                )
    if entry is not None:
        return entry.info
    return WeightsInfo(**({"name": "", "sha256": ""} | dict(stated) | shown))


def _complete(info: WeightsInfo, path: Path, resolution: float | None) -> WeightsInfo:
    """Fill what neither file nor registry states, as far as the caller or the file's name can tell."""
    known = info.resolution if info.resolution is not None else resolution
    height_range = info.height_range
    if height_range is None and known is not None:
        height_range = default_height_range(known)
    return dataclasses.replace(
        info, name=info.name or path.stem, resolution=None if known is None else float(known), height_range=height_range
    )


def _build(tensors: Mapping[str, Tensor], label: str) -> JSPSR:
    """Build the network whose tensors these are, after checking each of them."""
    name_of = _naming(tensors, label)
    # Without memory of its own: the tensors of the file take the place of all of its own.
    with torch.device("meta"):
        network = _network_of(tensors, name_of, label)
    expected = {name_of(name): tensor for name, tensor in network.state_dict().items()}
    for name in expected:
        if name not in tensors:
            raise WeightsError(f"{label} lacks the tensor {name}; it is cut short, or another network's.")
    for name, tensor in tensors.items():
        if name not in expected:
            raise WeightsError(f"{label} holds the tensor {name:.200}, which JSPSR has not; it is another network's.")
        _check_tensor(name, tensor, expected[name], label)
    # Copies, so that tensors of a file that share memory do not become one parameter.
    network.load_state_dict(
        {
            name: tensors[name_of(name)].to(tensor.dtype, copy=True, memory_format=torch.contiguous_format)
            for name, tensor in network.state_dict().items()
        },
        assign=True,
    )
    return network.eval()


def _naming(tensors: Mapping[str, Tensor], label: str) -> Callable[[str], str]:
    """Return the function from the names of `JSPSR` to those of the file."""
    stem = _stem_name("dem")
    for naming in (released_name, str):
        if naming(stem) in tensors:
            return naming
    if f"{IN_TRAINING}{stem}" in tensors:
        raise WeightsError(f"{label} is the state of a training; give best.safetensors or last.safetensors beside it.")
    raise WeightsError(f"{label} lacks the tensor {released_name(stem)}; it holds no JSPSR network.")


def _network_of(tensors: Mapping[str, Tensor], name_of: Callable[[str], str], label: str) -> JSPSR:
    stems = {guide: tensors.get(name_of(_stem_name(guide))) for guide in ("dem", *GUIDE_CHANNELS)}
    for guide, stem in stems.items():
        if stem is not None and stem.ndim != 4:
            raise WeightsError(
                f"the tensor {name_of(_stem_name(guide))} in {label} has the shape {tuple(stem.shape)}, not that of a "
                "convolution; the file is damaged, or another network's."
            )
    width = tensors[name_of(_stem_name("dem"))].shape[0]
    if not MIN_NUM_FEATURE <= width <= MAX_NUM_FEATURE:
        raise WeightsError(f"{label} holds a network of width {width}, outside {MIN_NUM_FEATURE}..{MAX_NUM_FEATURE}.")
    # Mask and canopy share a name in the released checkpoints; their channels tell which it is.
    inputs = [
        guide
        for guide, channels in GUIDE_CHANNELS.items()
        if (stem := stems[guide]) is not None and (guide == "image" or stem.shape[1] == channels)
    ]
    try:
        return JSPSR(inputs=inputs, num_feature=width, propagation=name_of("output.conv.weight") not in tensors)
    except ValueError as error:
        shapes = ", ".join(
            f"{name_of(_stem_name(guide))} {tuple(stem.shape)}" for guide, stem in stems.items() if stem is not None
        )
        raise WeightsError(f"the guides of the network in {label} are not known (it holds {shapes}).") from error


def _stem_name(branch: str) -> str:
    return f"encoder.stems.{branch}.conv.weight"


def _check_tensor(name: str, tensor: Tensor, expected: Tensor, label: str) -> None:
    if tensor.shape != expected.shape:
        raise WeightsError(
            f"the tensor {name} in {label} has the shape {tuple(tensor.shape)}, not {tuple(expected.shape)}; "
            "the file is damaged, or another network's."
        )
    # As `save_network` stores them smaller; the network has them in single precision.
    dtypes = {expected.dtype, torch.float16} if expected.ndim > 1 else {expected.dtype}
    if tensor.dtype not in dtypes or tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise WeightsError(
            f"the tensor {name} in {label} is {tensor.dtype} ({tensor.layout}, {tensor.device}), "
            f"not plain {expected.dtype}; save the network in single precision."
        )
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"the tensor {name} in {label} has values that are not finite; its training diverged.")
