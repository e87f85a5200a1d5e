"""From a file's bytes to named tensors, executing nothing that the file holds."""

import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from jspsr_models.errors import WeightsError
from jspsr_models.info import METADATA_KEY

# What DataParallel and torch.compile put before every name, in any combination.
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")

# More than the widest network that there can be (10.7 GB): all of a file is read into memory.
MAX_BYTES = 12 * 2**30

# Ten times those of the paper's networks: reading takes time for each, whatever is in it.
MOST_TENSORS = 10_000

# A safetensors file starts with the length of its header in eight bytes, and the header is JSON.
_LENGTH_BYTES = 8
_ZIP = b"PK"
_PICKLE = b"\x80"


def check_size(file: BinaryIO, *, label: str) -> None:
    """Raise WeightsError where a file is larger than weights can be, before anything of it is read."""
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise WeightsError(f"{label} has {size / 1e9:.1f} GB, more than any network of this kind; give another file.")


def read_tensors(file: BinaryIO, *, label: str) -> tuple[dict[str, Tensor], str | None]:
    """Read a checkpoint from an open file, recognised by its content, whatever it is called.

    Args:
        file: a safetensors file, or a PyTorch checkpoint: a state dict, or a dictionary with a `state_dict`.
        label: what messages call the file.

    Returns:
        The tensors by name, on the CPU, without the prefixes of wrapped networks; the metadata of
        `WeightsInfo.to_json`, if the file holds any.

    Raises:
        WeightsError: for anything else, and for a checkpoint that would need code to be run.
    """
    start = file.read(64)
    file.seek(0)
    if not start:
        raise WeightsError(f"{label} is empty; get it again.")
    if start[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{":
        state, metadata = _read_safetensors(file, label)
    elif start.startswith((_ZIP, _PICKLE)):
        state, metadata = _read_checkpoint(file, label)
    elif start.lstrip().startswith(b"<"):
        raise WeightsError(f"{label} is a web page, not weights; get the file behind it.")
    else:
        raise WeightsError(f"{label} is neither a safetensors file nor a PyTorch checkpoint; give one of those.")
    return _plain(state, label), metadata


def _read_safetensors(file: BinaryIO, label: str) -> tuple[Mapping[Any, Any], str | None]:
    content = file.read()
    try:
        length = int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        _check_count(header, label)
        state = safetensors.torch.load(content)
    except WeightsError:
        raise
    # The reader names its error, but also lets through whatever a broken header leads to.
    except Exception as error:
        raise WeightsError(f"{label} is a damaged safetensors file; get it again.") from error
    return state, header.get("__metadata__", {}).get(METADATA_KEY)


def _read_checkpoint(file: BinaryIO, label: str) -> tuple[Mapping[Any, Any], str | None]:
    _check_packing(file, label)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how the file was made; the checks here say what matters
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{label} was not loaded: it is damaged, or holds more than tensors and plain values, which could run "
            "code; get it again, or save its state_dict alone."
        ) from error
    # A damaged archive or pickle can lead to any error at all.
    except Exception as error:
        raise WeightsError(f"{label} is a damaged checkpoint; get it again.") from error
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(f"{label} holds a {type(checkpoint).__name__}, not a checkpoint; save a state_dict.")
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping):
        raise WeightsError(f"the state_dict of {label} is a {type(state).__name__}; save network.state_dict().")
    metadata = checkpoint.get(METADATA_KEY) if state is not checkpoint else None
    return state, metadata if isinstance(metadata, str) else None


def _check_packing(file: BinaryIO, label: str) -> None:
    """Refuse an archive whose parts are compressed, which PyTorch's own never are: they grow when they are read."""
    try:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return
        with zipfile.ZipFile(file) as archive:
            packed = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
    except Exception as error:  # a broken directory leads to many
        raise WeightsError(f"{label} is a damaged checkpoint; get it again.") from error
    if packed:
        raise WeightsError(f"{packed[0]:.80} in {label} is compressed, as in no checkpoint of PyTorch; save it anew.")
    file.seek(0)


def _check_count(state: Mapping[Any, Any], label: str) -> None:
    if len(state) > MOST_TENSORS:
        raise WeightsError(f"{label} holds {len(state):,} tensors, more than any network of this kind.")


def _plain(state: Mapping[Any, Any], label: str) -> dict[str, Tensor]:
    _check_count(state, label)
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{key!s:.80} in {label} is a {type(value).__name__}, not a tensor; remove it.")
        name = _WRAPPERS.sub("", key)
        if name in tensors:
            raise WeightsError(f"{label} holds the tensor {name:.200} twice; save the network alone.")
        tensors[name] = value.detach()
    return tensors
