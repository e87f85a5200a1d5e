"""What an exported network says of itself: all that is needed to run it without this program."""

import dataclasses
import json
from collections.abc import Callable

from jspsr_cli import __version__
from jspsr_cli.limits import DEFAULT_WINDOW
from jspsr_cli.raster.inputs import STRETCH_PERCENTILES
from jspsr_cli.raster.landuse import CLASS_COUNT, CLASS_NAMES
from jspsr_cli.scaling import BASE_METRES, CANOPY_MAX, CLASS_STEP, IMAGE_MAX, HeightScale
from jspsr_cli.tiling.windows import BORDER
from jspsr_models import WeightsInfo
from jspsr_models.inputs import GUIDE_CHANNELS, SIZE_MULTIPLE

# How each guide is scaled: an expression of Python with the functions of numpy, as for the DEM below.
_GUIDE_SCALING = {
    "image": f"value / {IMAGE_MAX:g}",
    "mask": f"where(land_use == band, (band + 1) * {CLASS_STEP:g}, 0)",
    "canopy": f"clip(metres, 0, {CANOPY_MAX:g}) / {CANOPY_MAX:g}",
}

_GUIDE_WORDS: dict[str, Callable[[], str]] = {
    "image": lambda: (
        "red, green, blue, averaged over the pixels of the grid; 8 bit values as they are, others stretched so that "
        f"percentiles {STRETCH_PERCENTILES[0]:g} and {STRETCH_PERCENTILES[1]:g} of the whole image become 0 and "
        f"{IMAGE_MAX:g}, and clipped to that"
    ),
    "mask": lambda: (
        f"one band for each land use class of DFC2022, 0 to {CLASS_COUNT - 1}, majority of the pixels of the grid: "
        + "; ".join(f"{number} {name}" for number, name in enumerate(CLASS_NAMES))
    ),
    "canopy": lambda: "canopy height in metres, averaged over the pixels of the grid",
}


def properties(info: WeightsInfo, scale: HeightScale) -> dict[str, str]:
    """The metadata properties of the exported network of weights; what is not text is JSON.

    They begin with the fields of `WeightsInfo`, `name` and `sha256` being those of the file that was exported.
    """
    fields = dataclasses.asdict(info) | {"window": info.window or DEFAULT_WINDOW}
    stated = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    size = f"rows, columns), multiples of {SIZE_MULTIPLE}"
    guides: dict[str, str] = {}
    for name in info.inputs:
        guides |= {
            name: f"float32 (windows, {GUIDE_CHANNELS[name]}, {size}: {_GUIDE_WORDS[name]()}; voids filled",
            f"{name}_scaling": _GUIDE_SCALING[name],
        }
    return {
        **stated,
        "dem": f"float32 (windows, 1, {size}: heights z of the DEM in metres, bicubic on a metric grid; voids filled",
        "dem_scaling": scale.forward,
        "base": (
            f"lowest z within {BASE_METRES:g} m by {BASE_METRES:g} m around the middle of the window, or within the "
            "window where that is larger: one number for each window"
        ),
        **guides,
        "bare_earth": (
            f"float32 (windows, 1, {size}: scaled heights of the ground; the outer {BORDER} pixels of a window are "
            "unreliable"
        ),
        "bare_earth_scaling": scale.inverse,
        "jspsr_version": __version__,
    }
