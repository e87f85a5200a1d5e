"""A line across the ground along which heights are shown: that where the prediction and a baseline differ most."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jspsr_cli.assess.rasters import Layers
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import FloatArray

# Pixels of the longest line: at full resolution more do not fit a page.
LONGEST = 1000


@dataclass(frozen=True)
class Line:
    """`length` pixels of a grid from (`row`, `col`) on, to the east, or to the south where `down`."""

    row: int
    col: int
    length: int
    down: bool

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Row, column, height and width."""
        return (self.row, self.col, self.length, 1) if self.down else (self.row, self.col, 1, self.length)


@dataclass(frozen=True)
class Profile:
    """Heights in metres along a line: `distance` in metres from its beginning, `canopy` NaN where none is known."""

    line: Line
    distance: FloatArray
    reference: FloatArray
    sources: dict[str, FloatArray]
    canopy: FloatArray | None


def choose_line(apart: FloatArray, view: Grid, grid: Grid) -> Line:
    """The line on `grid` that has the largest sum of squares of `apart`, metres (rows, columns) on `view`, NaN = 0.

    `view` is the ground of `grid` on fewer pixels.
    """
    squares = np.nan_to_num(apart).astype(np.float64) ** 2
    (x, y), (wide, high) = grid.resolution, view.resolution
    east = _largest(squares, pixels=grid.width, size=wide / x)
    south = _largest(squares.T, pixels=grid.height, size=high / y)
    if south.sum > east.sum:
        col = min(int((south.across + 0.5) * wide / x), grid.width - 1)
        return Line(south.first, col, south.length, down=True)
    row = min(int((east.across + 0.5) * high / y), grid.height - 1)
    return Line(row, east.first, east.length, down=False)


class _Stretch(NamedTuple):
    """Of a row of a view, `across`, `length` pixels of the grid from `first` on."""

    sum: float
    across: int
    first: int
    length: int


def _largest(squares: FloatArray, *, pixels: int, size: float) -> _Stretch:
    """The stretch along the second axis, of `pixels` on the grid and one in `size` of them here, with most in it."""
    length = min(pixels, LONGEST)
    count = max(1, min(squares.shape[1], round(length / size)))
    sums = np.cumsum(np.pad(squares, ((0, 0), (1, 0))), axis=1)
    stretches = sums[:, count:] - sums[:, :-count]
    across, along = (int(place) for place in np.unravel_index(np.argmax(stretches), stretches.shape))
    return _Stretch(float(stretches[across, along]), across, min(round(along * size), pixels - length), length)


def read_profile(layers: Layers, line: Line, grid: Grid) -> Profile:
    """Heights along `line` at full resolution. Raises ReadFailed."""
    side = grid.resolution[1 if line.down else 0]
    canopy = layers.guides.get("canopy")
    return Profile(
        line=line,
        distance=(np.arange(line.length) + 0.5) * side,
        reference=layers.reference.read(*line.window).ravel(),
        sources={name: layers.read(name, *line.window).ravel() for name in layers.sources},
        canopy=None if canopy is None else canopy.read(*line.window).ravel(),
    )
