"""The canopy height map as a lattice of pixels in web mercator, in whole numbers, and its tiles of zoom 9.

Rows and columns are counted from the north-west corner of the web mercator square, which the 512 x 512 tiles fill.
An output has pixels of `factor` x `factor` of these, counted from the same corner: nothing is shifted or interpolated,
and any two outputs of one factor share their lattice. A tile is named by its quadkey, one digit a level.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from affine import Affine
from morecantile import Tile
from rasterio.crs import CRS
from rasterio.windows import Window
from rio_tiler.constants import WEB_MERCATOR_TMS

from jspsr_cli.raster.grid import SNAP_TOLERANCE, Grid
from jspsr_cli.types import Bounds

WEB_MERCATOR = CRS.from_epsg(3857)

# Zoom level of the tiles, and pixels along their sides.
ZOOM, SIDE = 9, 65_536

# Tiles along a side of the world.
TILES = 2**ZOOM

# Latitude at which the square ends.
NORTHERNMOST = 85.0511287

# Radius in metres of the sphere that web mercator makes of the Earth.
RADIUS = 6_378_137.0

# Coordinate of the north-west corner, and side in metres of a pixel at the equator: 1.194328566955879.
CORNER = math.pi * RADIUS
PIXEL = 2 * CORNER / (TILES * SIDE)


def quadkey(x: int, y: int) -> str:
    """Name of the tile in column `x` and row `y`."""
    return str(WEB_MERCATOR_TMS.quadkey(Tile(x, y, ZOOM)))


def tile_grid(x: int, y: int) -> Grid:
    """Where the pixels of a tile lie."""
    return _grid(y * SIDE, x * SIDE, SIDE, SIDE, factor=1)


@dataclass(frozen=True)
class TilePart:
    """Pixels `source` of the tile in column `x` and row `y`."""

    x: int
    y: int
    source: Window

    @property
    def name(self) -> str:
        """Quadkey of the tile."""
        return quadkey(self.x, self.y)

    @property
    def file_name(self) -> str:
        """What the fetched pieces are called; begins as all files of unfinished work."""
        return f"heights.{self.name}.tif"


@dataclass(frozen=True)
class CanopyWindow:
    """Pixels of an output, each of `factor` x `factor` of the map: the first at `row`, `col`."""

    factor: int
    row: int
    col: int
    height: int
    width: int

    @property
    def grid(self) -> Grid:
        """Where they lie, in web mercator."""
        return _grid(self.row, self.col, self.height, self.width, factor=self.factor)

    def parts(self) -> Iterator[TilePart]:
        """The tiles under the window, from north to south and west to east; what is beyond the square is left out."""
        top, left = self.row * self.factor, self.col * self.factor
        bottom, right = (min(first + length * self.factor, TILES * SIDE)
                         for first, length in ((top, self.height), (left, self.width)))  # fmt: skip
        for y in range(top // SIDE, (bottom - 1) // SIDE + 1):
            for x in range(left // SIDE, (right - 1) // SIDE + 1):
                col, row = max(left - x * SIDE, 0), max(top - y * SIDE, 0)
                yield TilePart(
                    x, y, Window(col, row, min(right - x * SIDE, SIDE) - col, min(bottom - y * SIDE, SIDE) - row)
                )


def canopy_window(box: Bounds, *, factor: int) -> CanopyWindow:
    """The output pixels that `box`, in coordinates of web mercator, touches; what is beyond the square is left out."""
    west, south, east, north = box
    side, last = factor * PIXEL, -(-TILES * SIDE // factor) - 1
    left, top = (_clamped(math.floor(way / side + SNAP_TOLERANCE), last) for way in (west + CORNER, CORNER - north))
    right, bottom = (
        _clamped(math.ceil(way / side - SNAP_TOLERANCE) - 1, last) for way in (east + CORNER, CORNER - south)
    )
    return CanopyWindow(factor, top, left, max(bottom - top, 0) + 1, max(right - left, 0) + 1)


def ground_pixel(latitude: float) -> float:
    """Side in metres on the ground of a pixel of the map, seen from west to east."""
    return float(PIXEL * math.cos(math.radians(latitude)))


def _clamped(number: int, last: int) -> int:
    return min(max(number, 0), last)


def _grid(row: int, col: int, height: int, width: int, *, factor: int) -> Grid:
    side = factor * PIXEL
    return Grid(WEB_MERCATOR, Affine(side, 0, col * side - CORNER, 0, -side, CORNER - row * side), width, height)
