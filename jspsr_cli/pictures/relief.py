"""Light and shade of elevation models: shares of light that can be compared from one raster to the next."""

import math
from collections.abc import Iterable

import numpy as np

from jspsr_cli.types import FloatArray

# Where the light comes from, as on maps: from the north-west, 45 degrees above the horizon.
AZIMUTH, ALTITUDE = math.radians(315), math.radians(45)

# Darkest and lightest percentile of all that is shown together; the light between them fills the greys.
SHADES = (1.0, 99.0)

# Of level ground no shades are made of rounding: so much is a slope of half a degree.
LEAST_SHADES = 0.01


def light(heights: FloatArray, across: float, down: float | None = None) -> FloatArray:
    """The light on a slope (rows, columns), -1 to 1: Lambert's cosine, NaN where a height or one beside it is NaN.

    A single row or column has no slope and is lit as level ground is.

    Pixels are `across` metres wide and `down` high, as wide by default. Nothing is stretched, unlike in the hillshade
    of matplotlib, so that the same slope has the same light in every raster.
    """
    if min(heights.shape) < 2:
        return np.where(np.isnan(heights), np.nan, math.sin(ALTITUDE)).astype(heights.dtype)
    from_north, from_west = np.gradient(heights, across if down is None else down, across)
    east = math.sin(AZIMUTH) * math.cos(ALTITUDE)
    north = math.cos(AZIMUTH) * math.cos(ALTITUDE)
    lit: FloatArray = (math.sin(ALTITUDE) - east * from_west + north * from_north) / np.sqrt(
        1 + from_west**2 + from_north**2
    )
    return lit


def greys(lights: Iterable[FloatArray]) -> tuple[float, float]:
    """The light that is shown black, and how much more is white, for rasters that are shown together."""
    known = np.concatenate([lit[np.isfinite(lit)] for lit in lights])
    dark, bright = map(float, np.percentile(known, SHADES) if known.size else (0.0, 1.0))
    missing = max(0.0, LEAST_SHADES - (bright - dark))  # level ground is neither black nor white
    return dark - missing / 2, bright - dark + missing
