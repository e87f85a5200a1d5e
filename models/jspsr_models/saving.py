"""Writing weights as safetensors, which hold no code, together with what is known about them."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from jspsr_models.errors import UnusableTarget, WeightsNotWritten
from jspsr_models.files import appearing
from jspsr_models.info import METADATA_KEY, WeightsInfo
from jspsr_models.loading import load_network
from jspsr_models.network import JSPSR

# Values of the tensors that are halved, those of the propagation and of the layer before it aside: most of a file. That
# moves RMSE against terrain by less than a centimetre; rounding all convolutions moves it by up to 3 cm
# (benchmarks/starters.py).
HALVED = 9_000
WHOLE = ("output.", "decoder.head.")


def save_network(network: JSPSR, path: str | os.PathLike[str], info: WeightsInfo, *, half: bool = False) -> WeightsInfo:
    """Write a network; the file appears complete under its name or not at all.

    Args:
        network: its structure goes into the metadata, whatever `info` says about it.
        path: of the safetensors file; an existing one is replaced.
        info: what is known about the weights.
        half: store the large convolutions in half precision, which makes the file little more than half as large.

    Returns:
        What `load_network` will say about the file.

    Raises:
        WeightsNotWritten: if the file cannot be written, or half precision does not hold the weights.
    """
    target = Path(path)
    info = dataclasses.replace(
        info, inputs=network.inputs, num_feature=network.num_feature, propagation=network.propagation
    )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        tensors = {
            name: _halved(tensor, target) if is_halved(name, tensor) else tensor for name, tensor in tensors.items()
        }
    content = safetensors.torch.save(tensors, metadata={METADATA_KEY: info.to_json()})
    try:
        with appearing(target) as part:
            part.write_bytes(content)
    except OSError as error:
        raise WeightsNotWritten(f"{target} cannot be written: {error.strerror or error}.") from error
    return dataclasses.replace(info, sha256=hashlib.sha256(content).hexdigest())


def is_halved(name: str, tensor: Tensor) -> bool:
    """Whether half precision is for this tensor of a network."""
    return tensor.numel() >= HALVED and not name.startswith(WHOLE)


def _halved(tensor: Tensor, target: Path) -> Tensor:
    half = tensor.half()
    if not torch.isfinite(half).all():
        raise WeightsNotWritten(f"{target} was not written: a weight is too large for half precision.")
    return half


def convert_weights(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resolution: float | None = None,
    half: bool = False,
    **stated: Any,
) -> WeightsInfo:
    """Load weights and write them as safetensors under the names of `JSPSR`.

    Args:
        source: path or name, see `load_network`.
        target: of the safetensors file.
        overwrite: replace an existing file.
        resolution: of the training grid in metres, where the source does not state it.
        half: see `save_network`.
        **stated: fields of `WeightsInfo` to set; None leaves a field as it is.

    Returns:
        What `load_network` will say about the new file.

    Raises:
        UnusableTarget: see `check_target`.
        WeightsNotWritten: if the target cannot be written.
        WeightsError: if the source cannot be loaded.
    """
    check_target(Path(target), ".safetensors", overwrite=overwrite)
    network, info = load_network(source, resolution=resolution)
    changes = {field: value for field, value in stated.items() if value is not None}
    return save_network(network, target, dataclasses.replace(info, **changes), half=half)


def check_target(target: Path, ending: str, *, overwrite: bool) -> None:
    """Raise UnusableTarget if `target` ends otherwise, exists and is not to be replaced, or has no folder."""
    if target.suffix.lower() != ending:  # by which readers know the format, of a checkpoint above all
        raise UnusableTarget(f"{target.name} does not say what it is to be; let its name end with {ending}.")
    if not target.parent.is_dir():
        raise UnusableTarget(f"the folder {target.parent} does not exist; create it first.")
    if target.exists() and not overwrite:
        raise UnusableTarget(f"{target} exists; give another name, or --overwrite to replace it.")
