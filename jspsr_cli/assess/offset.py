"""How far a source lies off the reference, by xdem; needs the extra `evaluate`.

Source of the method: Nuth & Kääb, The Cryosphere 2011, 5, 271-290: on slopes, a horizontal shift is a difference in
height that depends on the aspect.
"""

import math
import warnings

import numpy as np

from jspsr_cli.assess.evaluated import Offset
from jspsr_cli.assess.ground import slope
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import FloatArray

# What is looked at: the whole grid, or where that is larger, so many squares of so many pixels along each axis.
SQUARE, PLACES = 256, 6

# Voids between two squares: wide enough for xdem's derivatives not to see across.
GAP = 4

# On flatter ground than this (degrees) a shift moves no height; so many steeper pixels are needed to tell it.
FLAT, ENOUGH = 3.0, 1000

# What stands on the ground is no shift: pixels under higher canopy (metres) are left out.
BARE = 2.0

# Rows and columns below which nothing has a slope.
SMALLEST = 3

# Pixels that xdem fits to.
SUBSAMPLE = 50_000

# It draws them: the same command twice gives the same offset.
SEED = 1

# The four quarters of the ground are fitted too: so many have to succeed, and to agree to this standard error in
# metres, a sixth of a pixel of a 30 m DEM. Else it is woods, houses or noise that was fitted, and no shift.
QUARTERS, MOST_UNCERTAIN = 3, 5.0


def sampled(layer: AlignedLayer) -> FloatArray:
    """Pixels of `layer` from all over its grid, (rows, columns), squares of them with voids between."""
    rows, cols = _spans(layer.grid.height), _spans(layer.grid.width)
    height, width = (sum(size for _, size in spans) + GAP * (len(spans) - 1) for spans in (rows, cols))
    result: FloatArray = layer.empty(height, width)[0]
    for i, (row, tall) in enumerate(rows):
        for j, (col, wide) in enumerate(cols):
            top, left = i * (tall + GAP), j * (wide + GAP)
            result[top : top + tall, left : left + wide] = layer.read(row, col, tall, wide)[0]
    return result


def _spans(size: int) -> list[tuple[int, int]]:
    """First pixels and lengths along an axis of `size` pixels."""
    if size <= SQUARE * PLACES:
        return [(0, size)]
    return [(int(first), SQUARE) for first in np.linspace(0, size - SQUARE, PLACES)]


def offset_of(source: FloatArray, reference: FloatArray, grid: Grid) -> Offset | None:
    """How far `source` lies off `reference`, both heights (rows, columns) with pixels of `grid`.

    None where that cannot be told: the ground is too flat, what they share too small, or its parts contradict each
    other.
    """
    whole = _fit(source, reference, grid, enough=ENOUGH)
    if whole is None:
        return None
    row, col = (side // 2 for side in reference.shape)
    quarters = [(rows, cols) for rows in (slice(row), slice(row, None)) for cols in (slice(col), slice(col, None))]
    fits = [_fit(source[part], reference[part], grid, enough=ENOUGH // len(quarters)) for part in quarters]
    found = np.array([fit[:2] for fit in fits if fit is not None])
    if len(found) < QUARTERS:
        return None
    uncertain = math.sqrt(found.var(axis=0, ddof=1).sum() / len(found))
    return Offset(*whole, uncertain=uncertain) if uncertain <= MOST_UNCERTAIN else None


def _fit(source: FloatArray, reference: FloatArray, grid: Grid, *, enough: int) -> tuple[float, float, float] | None:
    """Metres by which `source` lies east, north and above, None where fewer than `enough` pixels are steep."""
    if min(reference.shape) < SMALLEST:
        return None
    both = ~np.isnan(source[1:-1, 1:-1]) & ~np.isnan(reference[1:-1, 1:-1])
    if np.count_nonzero(both & (slope(reference, grid.resolution) > FLAT)) < enough:
        return None
    from xdem.coreg import NuthKaab

    method = NuthKaab(subsample=SUBSAMPLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bins that are empty, and fits without a covariance
        try:
            method.fit(reference, source, transform=grid.transform, crs=grid.crs, random_state=SEED)
        except (ValueError, RuntimeError):  # no common pixels, no fit
            return None
    moved = method.meta["outputs"]["affine"]
    east, north, up = (-float(moved[f"shift_{axis}"]) for axis in "xyz")
    return (east, north, up) if math.isfinite(east + north + up) else None
