"""Flattened water: where a DEM holds it as exactly constant, and how its shore meets the land."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.types import FloatArray

# Steps in metres that DEMs are rounded to. Rounded land is as flat as water.
QUANTA = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01)

# The sample that rounding is judged by: squares of this side, at this many places along each axis, of this many files.
SAMPLE_SIDE, SAMPLE_PLACES, SAMPLE_FILES = 64, 3, 4

# Of 3 x 3 pixels, so many must be known for them to be water: two rows of three, at a straight edge.
LEAST_KNOWN = 6


def flat_water(heights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Level and share of flattened water in source pixels (rows, columns).

    Water is every 3 x 3 pixels of exactly one value, or what 6 or more of them have, the others being void, as at the
    edge of a DEM: float32 heights of land never repeat so, edited water always does. Both results reach one pixel
    further.

    Returns:
        level: metres; NaN further from water than one pixel.
        share: 1 on water and the pixels beside it, 0 elsewhere; NaN where `heights` is void.
    """
    void = np.isnan(heights)
    # What lies beyond the array must not look flat, as more of the DEM may lie there: it is lowest and highest at once.
    low = ndimage.minimum_filter(np.where(void, np.inf, heights), 3, mode="constant", cval=-np.inf)
    high = ndimage.maximum_filter(np.where(void, -np.inf, heights), 3, mode="constant", cval=np.inf)
    known = ndimage.convolve((~void).astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
    water = ndimage.binary_dilation((low == high) & (known >= LEAST_KNOWN), np.ones((3, 3))) & ~void
    wet = np.where(water, heights, -np.inf)
    level = ndimage.maximum_filter(wet, 3, mode="constant", cval=-np.inf)
    level = np.where(water, heights, level).astype(np.float32)
    level[np.isneginf(level)] = np.nan
    share = ndimage.binary_dilation(water, np.ones((3, 3))).astype(np.float32)
    share[void] = np.nan
    return level, share


class WaterLayer:
    """Level and share of flat water on the target grid, as one layer of two bands; see `flat_water`.

    Without a level the share is of no use, so both are void in all columns of a piece that lie beyond the outermost
    water: most of the Earth has none, and the share costs as much as the heights.
    """

    bands = 2

    def __init__(self, *, level: AlignedLayer, share: AlignedLayer) -> None:
        self.grid = level.grid
        self._level, self._share = level, share

    def empty(self, height: int, width: int) -> FloatArray:
        """Pixels without water: (2, height, width)."""
        return np.full((self.bands, height, width), np.nan, dtype=np.float32)

    def read(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Level in metres and share, float32 (2, height, width); see `AlignedLayer.read`."""
        result = self.empty(height, width)
        result[:1] = self._level.read(row, col, height, width)
        wet = np.flatnonzero(~np.isnan(result[0]).all(axis=0))
        if wet.size:
            left, right = int(wet[0]), int(wet[-1]) + 1
            result[1:, :, left:right] = self._share.read(row, col + left, height, right - left)
        return result


def shore_weight(share: FloatArray) -> FloatArray:
    """Weight of the water level for a sampled `share` of `flat_water`: 1 on water, 0 from one source pixel on.

    The slope in between takes half a source pixel: the pixel beside the water is part water, part shore, and a bank
    that starts at the water's edge itself would be a wall.
    """
    weight: FloatArray = np.clip(2 * np.nan_to_num(share) - 1, 0, 1)
    return weight


def quantum(files: Sequence[RasterFile], reader: RasterReader) -> float | None:
    """The step in metres that the heights of some of `files` were rounded to, or None.

    Judged on samples, the commonest value of each aside: it may be water.
    """
    step = max(1, len(files) // SAMPLE_FILES)
    samples = [_sample(file, reader) for file in files[::step]]
    for candidate in QUANTA:
        for values in samples:
            distance = np.abs(values - np.round(values / candidate) * candidate)
            # Within what float32 can hold: at 3000 m, a tenth of all heights are so near to a centimetre by chance.
            if values.size and (distance <= 2 * np.spacing(np.abs(values).astype(np.float32))).mean() > 0.9:
                return candidate
    return None


def _sample(file: RasterFile, reader: RasterReader) -> FloatArray:
    """Heights at some places of `file`, without the commonest of each place; float64 (pixels,)."""
    parts = []
    for square in reader.squares(file, side=SAMPLE_SIDE, places=SAMPLE_PLACES):
        pixels = square.astype(np.float64)
        values, counts = np.unique(pixels[np.isfinite(pixels)], return_counts=True)
        parts.append(values[np.arange(len(values)) != counts.argmax()] if len(values) else values)
    return np.concatenate(parts)
