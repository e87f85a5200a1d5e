"""Aligned strips: the rows of all inputs that one row of windows needs, every row read once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.target import Target
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
    reaches `margin` pixels further on every side, for the base; the guides, (bands, rows, columns), and the water do
    not. `inside` is True inside the polygon asked for, if one was.
    """

    row: int
    col: int
    margin: int
    heights: FloatArray
    guides: dict[str, FloatArray]
    water: tuple[FloatArray, FloatArray] | None
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
    """Rows of a layer over fixed columns, handed out in overlapping pieces from north to south."""

    def __init__(self, layer: AlignedLayer, col: int, width: int) -> None:
        self._layer = layer
        self._col, self._width = col, width
        self._first = 0
        self._rows: FloatArray | None = None

    def take(self, first: int, stop: int) -> FloatArray:
        """Rows `first` to `stop` of the target grid: (bands, rows, columns)."""
        kept = self._layer.empty(0, self._width) if self._rows is None else self._rows[:, first - self._first :]
        have = first + kept.shape[1]
        new = self._layer.read(have, self._col, stop - have, self._width)
        self._rows, self._first = np.concatenate([kept, new], axis=1), first
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
    heights = _RollingRows(layers.dem.heights, left - margin, width + 2 * margin)
    guides = {name: _RollingRows(layer, left, width) for name, layer in layers.guides.items()}
    level = layers.dem.level and _RollingRows(layers.dem.level, left, width)
    share = layers.dem.share and _RollingRows(layers.dem.share, left, width)
    for row in rows[skip:]:
        top, bottom = row - row0, row - row0 + lattice.size
        yield Strip(
            row=row,
            col=cols[0],
            margin=margin,
            heights=heights.take(top - margin, bottom + margin)[0],
            guides={name: rolling.take(top, bottom) for name, rolling in guides.items()},
            water=(level.take(top, bottom)[0], share.take(top, bottom)[0]) if level and share else None,
            inside=area.inside(grid.part(top, left, lattice.size, width)) if area else None,
        )
