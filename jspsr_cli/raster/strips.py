"""Aligned strips: the rows of all inputs that one row of windows needs, every row read once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.target import Target
from jspsr_cli.raster.water import WaterLayer
from jspsr_cli.scaling import BASE_METRES
from jspsr_cli.tiling.windows import Lattice
from jspsr_cli.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Layers:
    """All inputs on the target grid; the names of `guides` are those of the network: image, mask, canopy."""

    dem: HeightLayers
    guides: dict[str, AlignedLayer]


@dataclass(frozen=True)
class Strip:
    """Inputs under one row of windows; NaN is void.

    `row` and `col` are the first pixel of the windows, counted from the origin of the CRS. `heights` (metres)
    reaches `margin` pixels further on every side, for the base; the guides, (bands, rows, columns), and the water,
    which is level (metres) and share, (2, rows, columns), do not. `inside` is True inside the polygon asked for, if
    one was.
    """

    row: int
    col: int
    margin: int
    heights: FloatArray
    guides: dict[str, FloatArray]
    water: FloatArray | None
    inside: BoolArray | None

    @property
    def known(self) -> BoolArray:
        """Where the output can have data: a height, inside the polygon."""
        known: BoolArray = ~np.isnan(self.dem)
        return known if self.inside is None else known & self.inside

    @property
    def dem(self) -> FloatArray:
        """Heights without the margin."""
        m = self.margin
        return self.heights[m : self.heights.shape[0] - m, m : self.heights.shape[1] - m]

    @property
    def guided(self) -> BoolArray:
        """Where every guide has data."""
        valid = np.ones(self.dem.shape, dtype=bool)
        for guide in self.guides.values():
            valid &= ~np.isnan(guide[0])
        return valid


class _RollingRows:
    """Rows of a layer over fixed columns, handed out in overlapping pieces from north to south.

    Each row is read once, `step` rows at a time, and the cuts between them are the same wherever a run begins: a warp
    is the same to its tolerance only wherever it is cut, and a resumed run has to give the same bytes.
    """

    def __init__(self, layer: AlignedLayer | WaterLayer, col: int, width: int, step: int) -> None:
        self._layer = layer
        self._col, self._width, self._step = col, width, step
        self._first = 0
        self._rows: FloatArray | None = None

    def take(self, first: int, stop: int) -> FloatArray:
        """Rows `first` to `stop` of the target grid, `step` further than the last time: (bands, rows, columns)."""
        if self._rows is None:
            self._first = stop - -(-(stop - first) // self._step) * self._step
            self._rows = self._layer.empty(0, self._width)
        have = self._first + self._rows.shape[1]
        new = [self._layer.read(row, self._col, self._step, self._width) for row in range(have, stop, self._step)]
        self._rows = np.concatenate([self._rows, *new], axis=1)[:, first - self._first :]
        self._first = first
        return self._rows


def base_margin(grid: Grid, lattice: Lattice) -> int:
    """Pixels around a window that its base is searched in: the larger of 1 km and the window."""
    pixels = round(BASE_METRES / min(grid.resolution))
    return max(0, -((lattice.size - pixels) // 2))


def aligned_strips(layers: Layers, target: Target, lattice: Lattice, *, skip: int = 0) -> Iterator[Strip]:
    """The strips of `target` from north to south, without the first `skip`.

    Pixels beyond its grid are real ones where the sources have them.
    """
    grid, area = target.grid, target.area
    row0, col0 = grid.origin
    rows = lattice.starts(row0, row0 + grid.height)
    cols = lattice.starts(col0, col0 + grid.width)
    margin = base_margin(grid, lattice)
    left, width = cols[0] - col0, cols[-1] - cols[0] + lattice.size
    step = lattice.stride
    heights = _RollingRows(layers.dem.heights, left - margin, width + 2 * margin, step)
    guides = {name: _RollingRows(layer, left, width, step) for name, layer in layers.guides.items()}
    water = layers.dem.water and _RollingRows(layers.dem.water, left, width, step)
    for row in rows[skip:]:
        top, bottom = row - row0, row - row0 + lattice.size
        yield Strip(
            row=row,
            col=cols[0],
            margin=margin,
            heights=heights.take(top - margin, bottom + margin)[0],
            guides={name: rolling.take(top, bottom) for name, rolling in guides.items()},
            water=water.take(top, bottom) if water else None,
            inside=area.inside(grid.part(top, left, lattice.size, width)) if area else None,
        )
