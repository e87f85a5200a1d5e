"""Whether the ground of a sample can be learned from: no voids, not the sea, not changed between two surveys."""

import math
from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from jspsr_cli.raster.grid import Grid
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.types import BoolArray, FloatArray

# Why a sample is left out.
NO_TERRAIN, EDGE, VOIDS, FLAT, CHANGED = "no terrain", "at the edge", "voids", "flat water", "changed ground"
BAD_FILE, MISSING = "bad file", "layer missing"
REASONS = (NO_TERRAIN, EDGE, VOIDS, FLAT, CHANGED, BAD_FILE, MISSING)

# Relief in metres that no land of a square kilometre is without; terrain models are level on water.
LEAST_RELIEF = 0.1

# GLO-30 is good to 4 m (90 %), and no survey puts the ground above what stands on it: a terrain model that is more
# than this many metres above the DEM was filled up since, or dug from before.
BELOW = 10.0

# On fields, pastures and bare ground nothing stands that would explain as much the other way.
ABOVE_OPEN = 10.0
OPEN_CLASSES = (5, 7, 11, 12)

# Elsewhere trees and houses do, up to this height in metres.
ABOVE = 60.0

# Pixels of a global DEM in metres. Half of one up a slope, its height is off by half of the slope.
DEM_METRES = 30.0

# Smaller spots (2 ha of a square kilometre) are outweighed, and a robust rule must not fall for one bad pixel.
CHANGED_SHARE = 0.02


def voids_of(layer: str, values: FloatArray, *, most: float, inside: bool) -> tuple[str, str] | None:
    """Reason and sentence for leaving a sample out whose `layer` (bands, rows, columns) has more voids than `most`.

    Of one that is not wholly `inside` of what the inputs share, nothing else was to be expected.
    """
    share = float(np.isnan(values[0]).mean())
    if layer == TRUTH and share == 1:
        return NO_TERRAIN, "there is no terrain"
    # All of it is too much, whatever was asked for.
    if share <= most and share < 1:
        return None
    return VOIDS if inside else EDGE, f"{layer} has no data in {share:.1%}"


def unsuitable(pixels: Mapping[str, FloatArray], grid: Grid, *, dem: str) -> tuple[str, str] | None:
    """Reason and sentence for leaving a sample out by its layers (bands, rows, columns), NaN for voids.

    `dem` is the layer that is compared with the terrain. Voids count for nothing.
    """
    truth, known = pixels[TRUTH][0], ~np.isnan(pixels[TRUTH][0]) & ~np.isnan(pixels[dem][0])
    if not known.any():
        return VOIDS, f"{TRUTH} and {dem} share no pixel"
    relief = float(np.ptp(truth[known]))
    if relief < LEAST_RELIEF:
        return FLAT, f"the terrain has {relief:.2f} m of relief"
    above = pixels[dem][0] - truth
    allowance = _slope_allowance(truth, grid)
    limit = np.where(_open_ground(pixels, grid), ABOVE_OPEN, ABOVE)
    low, high = known & (above < -BELOW - allowance), known & (above > limit + allowance)
    share = float((low | high).sum() / known.sum())
    if share <= CHANGED_SHARE:
        return None
    middle = float(np.median(above[low | high]))
    return CHANGED, f"{dem} is {abs(middle):.0f} m {'above' if middle > 0 else 'below'} the terrain in {share:.0%}"


def _slope_allowance(truth: FloatArray, grid: Grid) -> FloatArray:
    """Metres by which a DEM of `DEM_METRES` may be off on a slope, the steepest within one of its pixels."""
    across = grid.resolution[0]
    down, right = np.gradient(fill_voids(truth[None])[0].astype(np.float64))
    steepness = ndimage.maximum_filter(np.hypot(down, right) / across, _pixels(grid))
    allowance: FloatArray = steepness * DEM_METRES / 2
    return allowance


def _open_ground(pixels: Mapping[str, FloatArray], grid: Grid) -> BoolArray:
    """Where land use is open, more than a pixel of the DEM from all that is not.

    Canopy heights cannot tell: many maps of them leave houses out.
    """
    layer = pixels.get(GUIDE_LAYERS["mask"])
    if layer is None:
        return np.zeros(pixels[TRUTH][0].shape, dtype=bool)
    found: BoolArray = ndimage.minimum_filter(np.isin(layer[0], OPEN_CLASSES), 2 * _pixels(grid) + 1)
    return found


def _pixels(grid: Grid) -> int:
    return 2 * math.ceil(DEM_METRES / 2 / grid.resolution[0]) + 1
