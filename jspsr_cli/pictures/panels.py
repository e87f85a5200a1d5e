"""Heights, photos and differences as colours; needs the extra `report`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image  # matplotlib brings it

from jspsr_cli.pictures.colours import Colours
from jspsr_cli.pictures.layout import SQUARES
from jspsr_cli.pictures.relief import ALTITUDE
from jspsr_cli.types import BoolArray, FloatArray

# From low to high ground, as on maps, each as much lighter than the one before: lightness alone tells heights apart, so
# that it does not matter which hues one sees.
TERRAIN = LinearSegmentedColormap.from_list(
    "terrain of jspsr", ["#2c6e63", "#5d8a5c", "#98a35c", "#cdb570", "#ead39f", "#fbf4e4"]
)

# Lowest and highest percentile of all heights that are shown together: between them lie the colours.
HEIGHTS = (1.0, 99.0)

# Rasters are of one ground if they correlate as well as that, or lie apart by no more than that share of their range: a
# canopy map does neither.
FOLLOWING, CLOSE = 0.5, 0.1

# Metres that the colours span at least, so that rounding does not look like terrain.
SMALLEST_SPAN = 1.0

# How dark ground in shadow gets, and how much lighter the sunny side; between them the colours are those of the legend.
SHADOW, SUN = 0.45, 1.18

# Of ground without data: a grey that no height has, with stripes of a darker one every so many pixels.
VOID, STRIPE, STRIPES = 224, 196, 10


def span(heights: Sequence[FloatArray]) -> tuple[float, float]:
    """Heights in metres between which the colours lie, for rasters that are shown together."""
    known = np.concatenate([values[np.isfinite(values)] for values in heights])
    low, high = (float(end) for end in np.percentile(known, HEIGHTS))
    missing = max(0.0, SMALLEST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def alike(heights: Mapping[int, FloatArray]) -> list[list[int]]:
    """Which of `heights`, by their numbers, can be shown in the same colours: those of one ground.

    A canopy of 20 m has colours of its own, be the ground beside it at 400 m or at 10 m.
    """
    groups: list[list[int]] = []
    for number, values in heights.items():
        joined = [group for group in groups if any(_of_one_ground(heights[other], values) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(other for group in joined for other in group), number])
    return sorted(sorted(numbers) for numbers in groups)


def _of_one_ground(first: FloatArray, second: FloatArray) -> bool:
    """Whether the ranges of two rasters (rows, columns) meet, and their heights follow each other or hardly differ."""
    ends = span([first]), span([second])
    low, high = (pick(values) for pick, values in zip((max, min), zip(*ends, strict=True), strict=True))
    if low > high:
        return False
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both].astype(np.float64), second[both].astype(np.float64)
    if a.size < 2:
        return True
    if np.median(np.abs(a - b)) <= CLOSE * (max(ends[0][1], ends[1][1]) - min(ends[0][0], ends[1][0])):
        return True
    return min(a.std(), b.std()) > 0 and float(np.corrcoef(a, b)[0, 1]) >= FOLLOWING


def shaded(
    heights: FloatArray, *, lights: FloatArray, ends: tuple[float, float], greys: tuple[float, float]
) -> Colours:
    """Heights coloured between `ends` and shaded by their `lights` between `greys`: uint8 (rows, columns, 3)."""
    low, high = ends
    colours = TERRAIN((heights - low) / (high - low))[..., :3]
    dark, spread = greys
    level = np.nan_to_num(lights, nan=math.sin(ALTITUDE))  # beside voids no slope is known
    share = np.clip((level - dark) / spread, 0, 1)
    shade = np.where(share < 0.5, SHADOW + (1 - SHADOW) * 2 * share, 1 + (SUN - 1) * (2 * share - 1))
    drawn: Colours = (255 * np.clip(colours * shade[..., None], 0, 1)).astype(np.uint8)
    return drawn


def photographed(bands: FloatArray) -> Colours:
    """Red, green and blue (3, rows, columns) from 0 to 255 as uint8 (rows, columns, 3)."""
    return np.nan_to_num(np.moveaxis(bands, 0, -1)).round().astype(np.uint8)


def on_void(colours: Colours, known: BoolArray, shape: tuple[int, int]) -> Colours:
    """`colours` (rows, columns, 3) enlarged to `shape`, with stripes where nothing is `known` (rows, columns).

    Pixels that are few enough to be told apart become squares.
    """
    height, width = shape
    how = Image.Resampling.NEAREST if height >= SQUARES * known.shape[0] else Image.Resampling.BICUBIC
    large = np.asarray(Image.fromarray(np.ascontiguousarray(colours[..., :3])).resize((width, height), how))
    there = np.asarray(Image.fromarray(known).resize((width, height), Image.Resampling.NEAREST))
    rows, cols = np.indices(shape)
    stripes = np.where((rows + cols) % STRIPES < 2, STRIPE, VOID).astype(np.uint8)
    drawn: Colours = np.where(there[..., None], large, stripes[..., None])
    return drawn
