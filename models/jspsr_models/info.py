"""What is known about a set of weights, and how it is written into a file (free of torch)."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jspsr_models.errors import WeightsError
from jspsr_models.inputs import SIZE_MULTIPLE, VALID_INPUTS

NOT_STATED = "not stated"

# Heights above the base, in metres, that the released weights map to 0..1. The two training sets differed.
LOWEST_HEIGHT = -80.0
HIGHEST_HEIGHT_3M = 933.0
HIGHEST_HEIGHT_8M = 929.0
# Between the two resolutions of the paper.
_FINE_RESOLUTION = 5.0

# No length, height or count in a file is as large: beyond it are slips, and numbers that overflow where they are used.
LARGEST = 10**9

# Characters of a text in a file: what is stated of weights goes into the tags of every output.
LONGEST_TEXT = 10_000

# Key of the metadata in a safetensors header, or in a checkpoint's dictionary; the value is JSON.
METADATA_KEY = "jspsr"


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """A set of weights: what it is, what it expects and where it comes from.

    Args:
        name: short name, shown to the user and written into every output.
        sha256: of the file that was read; empty where no file has been read yet.
        inputs: guides beside the DEM, see `jspsr_models.inputs.VALID_INPUTS`.
        num_feature: width F of the network.
        propagation: whether the network ends with the spatial propagation.
        resolution: pixel size of the training grid in metres.
        height_range: lowest and highest height above the base, in metres, of the scaling.
        window: side of the training windows in pixels.
        licence: of the weights.
        attribution: whom to name.
        trained_on: the training data, in words.
        simulated: whether the training DEMs were simulated; None if unknown.
        accuracy: what was measured of their errors, and on what, in words.
    """

    name: str
    sha256: str
    inputs: tuple[str, ...]
    num_feature: int
    propagation: bool = True
    resolution: float | None = None
    height_range: tuple[float, float] | None = None
    window: int | None = None
    licence: str = NOT_STATED
    attribution: str = NOT_STATED
    trained_on: str = NOT_STATED
    simulated: bool | None = None
    accuracy: str = NOT_STATED

    def to_json(self) -> str:
        """Return all but the checksum (a file cannot hold its own) as JSON."""
        fields = dataclasses.asdict(self)
        del fields["sha256"]
        return json.dumps(fields, sort_keys=True)


def default_height_range(resolution: float) -> tuple[float, float]:
    """Return the height range in metres of the paper's weights for a resolution in metres."""
    return LOWEST_HEIGHT, HIGHEST_HEIGHT_3M if resolution < _FINE_RESOLUTION else HIGHEST_HEIGHT_8M


def parse_metadata(text: str, *, source: str) -> dict[str, object]:
    """Return the fields of a `WeightsInfo` that `text` (see `WeightsInfo.to_json`) states.

    Fields this version does not know are left out, so that files of later versions can be read.

    Raises:
        WeightsError: for text that is not such JSON, or a field with an impossible value.
    """
    try:
        stated = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the metadata of {source} is not JSON; save the weights again.") from error
    if not isinstance(stated, dict):
        raise WeightsError(f"the metadata of {source} is not a JSON object; save the weights again.")
    fields: dict[str, object] = {}
    for key, check in _CHECKS.items():
        value = stated.get(key)
        if value is None:
            continue
        if not check(value):
            raise WeightsError(f"the metadata of {source} gives {key} an impossible value: {value!r:.80}.")
        fields[key] = tuple(value) if isinstance(value, list) else value
    return fields


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    # Comparing, since a whole number may be too large to become a float; NaN compares as false.
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_window(value: object) -> bool:
    return isinstance(value, int) and _is_count(value) and value % SIZE_MULTIPLE == 0


def _is_range(value: object) -> bool:
    # The scaling takes the logarithm of the range and divides by it, so it must exceed 1 m.
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[1] - value[0] > 1


def _are_inputs(value: object) -> bool:
    return isinstance(value, list) and value in [list(valid) for valid in VALID_INPUTS]


_CHECKS: Mapping[str, Callable[[object], bool]] = MappingProxyType(
    {
        "name": _is_text,
        "inputs": _are_inputs,
        "num_feature": _is_count,
        "propagation": _is_flag,
        "resolution": _is_length,
        "height_range": _is_range,
        "window": _is_window,
        "licence": _is_text,
        "attribution": _is_text,
        "trained_on": _is_text,
        "simulated": _is_flag,
        "accuracy": _is_text,
    }
)
