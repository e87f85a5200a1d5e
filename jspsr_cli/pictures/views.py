"""Rasters as they are looked at: whole, on few pixels."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from affine import Affine
from rasterio.enums import Resampling

from jspsr_cli.raster.align import AlignedLayer, Sampling, pixel_size
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import image_layer, plausible
from jspsr_cli.raster.mosaic import Mosaic, group_mosaics
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, reduced
from jspsr_cli.scaling import IMAGE_MAX
from jspsr_cli.types import FloatArray

# Pixels along one of the view that are read of a finer raster: enough for its averages to lie where they should.
PIXELS_READ = 2


def shown_grid(grid: Grid, *, most: int) -> Grid:
    """The ground of `grid` in at most `most` pixels a side, square and never finer than those of `grid`.

    It begins at the same corner and ends within a pixel of the others.
    """
    (across, down), (west, south, east, north) = grid.resolution, grid.bounds
    side = max(across, down, (east - west) / most, (north - south) / most)
    width, height = (max(1, min(most, round(length / side))) for length in (east - west, north - south))
    return replace(grid, transform=Affine(side, 0, west, 0, -side, north), width=width, height=height)


def read_view(files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader) -> FloatArray:
    """Heights of `files` on `grid`, (rows, columns) in metres, NaN for voids: for the eye, not for figures.

    Finer rasters are averaged, by way of their overviews where they have some. Memory is that of the view.

    Raises:
        ReadFailed: a raster broke off.
        NoOverlap: a raster has no place in the CRS of `grid`.
    """
    mosaics = group_mosaics(_coarsened(files, grid))
    sampling = Sampling(Resampling.average, Resampling.cubic, plausible)
    layer = AlignedLayer(mosaics, grid, reader=reader, sampling=sampling)
    heights: FloatArray = layer.read(0, 0, grid.height, grid.width)[0]
    return heights


def read_photo(
    files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader, stretch: tuple[float, float] | None
) -> FloatArray:
    """Red, green and blue of `files` on `grid`, (3, rows, columns) from 0 to 255, NaN for voids.

    `stretch` as in `image_layer`. Raises as `read_view`.
    """
    layer = image_layer(_coarsened(files, grid), grid, reader=reader, stretch=stretch)
    photo: FloatArray = np.clip(layer.read(0, 0, grid.height, grid.width), 0, IMAGE_MAX)
    return photo


def _coarsened(files: Sequence[RasterFile], grid: Grid) -> list[RasterFile]:
    """`files` averaged to `PIXELS_READ` pixels along one of `grid`, where they have more."""
    wanted = min(grid.resolution) / PIXELS_READ
    return [reduced(file, math.floor(wanted / pixel_size(Mosaic((file,)), grid))) for file in files]
