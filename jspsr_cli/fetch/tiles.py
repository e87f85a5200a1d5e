"""Copernicus GLO-30 and GLO-90 as a lattice of pixels, in whole numbers: tiles, their names, what of them a box needs.

All tiles of a band of latitude lie on one lattice. Its rows are counted southwards from the pole (row 0 has its centre
at 90 N), its columns eastwards from Greenwich (column 0 has its centre at 0 E) and on beyond 180: nothing is rounded.
Source: https://copernicus-dem-30m.s3.amazonaws.com/readme.html
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from affine import Affine
from rasterio.windows import Window

from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.grid import SNAP_TOLERANCE, WGS84, DegreeGrid
from jspsr_cli.types import Bounds

# Columns per degree of a product of one arc-second, from these latitudes on to the pole.
BANDS = ((85, 360), (80, 720), (70, 1200), (60, 1800), (50, 2400), (0, 3600))
ARC_SECONDS = 3600

# Names of tiles that a sentence holds.
MOST_NAMED = 6


@dataclass(frozen=True)
class Series:
    """One of the two resolutions; `code` is what the names of its tiles hold, arc-seconds times ten."""

    name: str
    rows: int
    code: str


GLO30 = Series("GLO-30", 3600, "10")
GLO90 = Series("GLO-90", 1200, "30")


@dataclass(frozen=True, order=True)
class Tile:
    """One degree by one degree north and east of the corner `south`, `west`, in whole degrees."""

    south: int
    west: int

    def name(self, series: Series) -> str:
        """Name of the file, without its ending."""
        return f"Copernicus_DSM_COG_{series.code}_{self._place('_00_')}_00_DEM"

    def __str__(self) -> str:
        return self._place("")

    def _place(self, between: str) -> str:
        latitude = f"{'N' if self.south >= 0 else 'S'}{abs(self.south):02d}"
        return f"{latitude}{between}{'E' if self.west >= 0 else 'W'}{abs(self.west):03d}"


#: Tiles that GLO-30 has and does not publish, in Armenia and Azerbaijan; GLO-90 has them.
GAPS = frozenset(
    Tile(south, west)
    for south, wests in {38: (45, 46, 48, 49), 39: range(44, 50), 40: range(43, 51), 41: range(43, 50)}.items()
    for west in wests
)


def named(tiles: Iterable[Tile]) -> str:
    """`tiles` for a sentence."""
    names = [str(tile) for tile in sorted(tiles)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def columns_per_degree(series: Series, south: int) -> int:
    """Columns per degree of the tiles whose southern edge is at `south`: fewer polewards."""
    equatorward = south if south >= 0 else -south - 1
    return next(columns for start, columns in BANDS if equatorward >= start) * series.rows // ARC_SECONDS


@dataclass(frozen=True)
class Part:
    """What a window has of one tile: `source` in pixels of the tile, to `row` and `col` of the window."""

    tile: Tile
    source: Window
    row: int
    col: int


@dataclass(frozen=True)
class NativeWindow:
    """Pixels of the lattice of `series` with `columns` per degree, all in one band of latitude or taken as if."""

    series: Series
    columns: int
    row: int
    col: int
    height: int
    width: int

    @property
    def grid(self) -> DegreeGrid:
        """Where the pixels lie; longitudes go on beyond 180."""
        dx, dy = 1 / self.columns, 1 / self.series.rows
        west, north = (self.col - 0.5) / self.columns, 90 - (self.row - 0.5) / self.series.rows
        return DegreeGrid(WGS84, Affine(dx, 0, west, 0, -dy, north), self.width, self.height)

    def parts(self) -> Iterator[Part]:
        """The tiles under the window, from north to south and west to east."""
        for row, top, height in _pieces(self.row, self.height, self.series.rows):
            for col, left, width in _pieces(self.col, self.width, self.columns):
                tile = Tile(89 - row, (col + 180) % 360 - 180)
                source = Window(left - col * self.columns, top - row * self.series.rows, width, height)
                yield Part(tile, source, top - self.row, left - self.col)


def _pieces(first: int, length: int, step: int) -> Iterator[tuple[int, int, int]]:
    """`length` numbers from `first` on, cut at multiples of `step`: which multiple, first number, how many."""
    for multiple in range(first // step, (first + length - 1) // step + 1):
        start, stop = max(first, multiple * step), min(first + length, (multiple + 1) * step)
        yield multiple, start, stop - start


def tile_window(tile: Tile, series: Series, columns: int) -> NativeWindow:
    """All pixels of `tile`, on the lattice with `columns` per degree."""
    return NativeWindow(series, columns, (89 - tile.south) * series.rows, tile.west * columns, series.rows, columns)


def window_over(box: Bounds, series: Series, columns: int) -> NativeWindow:
    """The pixels that `box` (longitude and latitude) touches, on the lattice with `columns` per degree everywhere.

    Pixels whose edge lies on that of the box, but for rounding, are left out.
    """
    west, south, east, north = box
    last_row = 180 * series.rows - 1
    top = min(max(math.floor((90 - north) * series.rows + 0.5 + SNAP_TOLERANCE), 0), last_row)
    bottom = min(max(math.ceil((90 - south) * series.rows + 0.5 - SNAP_TOLERANCE), top + 1), last_row + 1)
    left = math.floor(west * columns + 0.5 + SNAP_TOLERANCE)
    right = max(math.ceil(east * columns + 0.5 - SNAP_TOLERANCE), left + 1)
    return NativeWindow(series, columns, top, left, bottom - top, min(right - left, int(TURN) * columns))


def native_windows(box: Bounds, series: Series) -> list[NativeWindow]:
    """The pixels that `box` touches, one window for each band of latitude, from north to south."""
    found = []
    rows = window_over(box, series, columns=series.rows)
    for columns, pieces in groupby(
        _pieces(rows.row, rows.height, series.rows), key=lambda piece: columns_per_degree(series, 89 - piece[0])
    ):
        cut = list(pieces)
        whole = window_over(box, series, columns)
        height = sum(length for _, _, length in cut)
        found.append(NativeWindow(series, columns, cut[0][1], whole.col, height, whole.width))
    return found
