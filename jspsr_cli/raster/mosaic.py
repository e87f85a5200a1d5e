"""Files on one lattice of pixels, read as one raster."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from jspsr_cli.raster.boxes import TURN, unite
from jspsr_cli.raster.grid import Grid, project_bounds
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, same_lattice
from jspsr_cli.types import Bounds, FloatArray


@dataclass(frozen=True)
class Mosaic:
    """Files on one lattice of pixels, read as one raster across their edges; the first file wins.

    `transform` belongs to the first file; windows are counted from its first pixel and may be negative.
    """

    files: tuple[RasterFile, ...]

    @property
    def crs(self) -> CRS:
        """CRS of all files."""
        return self.files[0].crs

    @property
    def transform(self) -> Affine:
        """Transform of the first file."""
        return self.files[0].transform

    @cached_property
    def placed(self) -> tuple[tuple[RasterFile, int, int], ...]:
        """Each file with the column and row of its first pixel on the common lattice."""
        inverse = ~self.transform
        corners = [(file, inverse * (file.transform.c, file.transform.f)) for file in self.files]
        return tuple((file, round(col), round(row)) for file, (col, row) in corners)

    @cached_property
    def hull(self) -> Window:
        """Smallest window that holds every file."""
        boxes = [(col, row, col + file.width, row + file.height) for file, col, row in self.placed]
        west, north, east, south = unite(boxes)
        return Window(west, north, east - west, south - north)

    @property
    def middle(self) -> tuple[float, float]:
        """Coordinates of the middle of the hull."""
        hull = self.hull
        x, y = self.transform * (hull.col_off + hull.width / 2, hull.row_off + hull.height / 2)
        return x, y

    def read(self, reader: RasterReader, window: Window) -> FloatArray:
        """Pixels of `window`: float32 (bands, rows, columns), NaN where no file has data."""
        shape = (len(self.files[0].bands), window.height, window.width)
        result = np.full(shape, np.nan, dtype=np.float32)
        for file, col, row in self.placed:
            left, top = max(window.col_off, col), max(window.row_off, row)
            right = min(window.col_off + window.width, col + file.width)
            bottom = min(window.row_off + window.height, row + file.height)
            if left >= right or top >= bottom:
                continue
            values = reader.read(file, Window(left - col, top - row, right - left, bottom - top))
            if values.shape == shape and len(self.files) == 1:
                return values
            rows = slice(top - window.row_off, bottom - window.row_off)
            cols = slice(left - window.col_off, right - window.col_off)
            part = result[:, rows, cols]
            missing = np.isnan(part[0])
            if missing.all():
                part[...] = values
                continue
            part[:, missing] = values[:, missing]
        return result


def group_mosaics(files: Sequence[RasterFile]) -> tuple[Mosaic, ...]:
    """Gather `files` that share CRS and lattice of pixels into mosaics, in the order given."""
    groups: list[list[RasterFile]] = []
    for file in files:
        for group in groups:
            if same_lattice(group[0], file):
                group.append(file)
                break
        else:
            groups.append([file])
    return tuple(Mosaic(tuple(group)) for group in groups)


def around(mosaics: Sequence[Mosaic], grid: Grid) -> tuple[Mosaic, ...]:
    """`mosaics` with their longitudes counted within 180 degrees of the middle of `grid`, all round at a pole.

    Files that end at the antimeridian so become neighbours of those that begin there, and one that goes round the
    world goes on beyond its edge.
    """
    files = [file for mosaic in mosaics for file in mosaic.files]
    spans = {file.crs: project_bounds(grid.bounds, grid.crs, file.crs) for file in files if file.crs.is_geographic}
    placed = [copy for file in files for copy in _copies(file, spans.get(file.crs))]
    return tuple(mosaics) if placed == files else group_mosaics(placed)


def _copies(file: RasterFile, span: Bounds | None) -> Iterator[RasterFile]:
    if span is None:
        yield file
        return
    middle, reach = (span[0] + span[2]) / 2, max(TURN / 2, span[2] - span[0])
    first, last = (middle - reach - file.bounds[2]) / TURN, (middle + reach - file.bounds[0]) / TURN
    for turns in range(math.floor(first) + 1, math.ceil(last)):
        yield replace(file, transform=Affine.translation(turns * TURN, 0) * file.transform) if turns else file
