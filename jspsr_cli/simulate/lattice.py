"""Ground parted into rows of cells with straight or winding sides: fields, or blocks between streets."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import Chance, between, enlarged, noise
from jspsr_cli.types import BoolArray, FloatArray

# Rows are looked up at this step in metres, and cells are counted so far in a row.
STEP, COLUMNS = 0.5, 256

# Cells are judged by every so many pixels.
THINNED = 4


@dataclass(frozen=True)
class Lattice:
    """Of each pixel (side, side): the number of its `cell`, below `count`, and where it lies in it.

    `across` and `along` are metres to the nearer of the two sides that bound the row, and the cell in the row; `side`
    is 1 beyond the middle of the row, and `u`, `v` are metres across and along all rows.
    """

    cell: NDArray[np.int32]
    count: int
    across: FloatArray
    along: FloatArray
    side: NDArray[np.int32]
    u: FloatArray
    v: FloatArray

    @property
    def edge(self) -> FloatArray:
        """Metres to the nearest side of the cell."""
        return np.minimum(self.across, self.along)

    @cached_property
    def _pixels(self) -> NDArray[np.intp]:
        return np.bincount(self.cell[::THINNED, ::THINNED].ravel(), minlength=self.count)

    @property
    def present(self) -> BoolArray:
        """Which cells have pixels (count,)."""
        return self._pixels > 0

    def means(self, values: FloatArray) -> FloatArray:
        """Means of the pixels of each cell (count,); 0 where there are none."""
        cells = self.cell[::THINNED, ::THINNED].ravel()
        sums = np.bincount(cells, weights=values[::THINNED, ::THINNED].ravel(), minlength=self.count)
        means: FloatArray = sums / np.maximum(self._pixels, 1)
        return means


def lattice(
    draft: Draft, chance: Chance, *, widths: tuple[float, float], lengths: tuple[float, float], bent: float
) -> Lattice:
    """Rows of `widths` metres, each of cells of one of `lengths`, that wind by `bent` metres."""
    x, y = draft.positions
    angle = between(chance, 0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = x * c + y * s, y * c - x * s
    winding = enlarged(noise(chance, 40, extent=draft.extent, longest=700, shortest=200), draft.side)
    winding *= np.float32(bent)
    u += winding
    v += winding[::-1]
    reach = draft.extent * 0.75 + 4 * bent
    rows = int(2 * reach / widths[0]) + 2
    ends = np.cumsum(chance.uniform(*widths, rows)) - reach - between(chance, 0, widths[0])
    starts = np.concatenate([[ends[0] - widths[1]], ends]).astype(np.float32)
    length = chance.uniform(*lengths, rows + 1).astype(np.float32)
    shift = chance.uniform(0, lengths[1], rows + 1).astype(np.float32) + np.float32(reach)
    # Tables of what is at each step across the rows: far quicker than a search for each pixel.
    row_at = np.searchsorted(ends, np.arange(0, 2 * reach, STEP) - reach)
    index = ((u + np.float32(reach)) * np.float32(1 / STEP)).astype(np.intp)
    low, high, length_here, shift_here = (
        np.take(table[row_at], index, mode="clip") for table in (starts[:-1], starts[1:], length[:-1], shift[:-1])
    )
    across = np.maximum(np.minimum(u - low, high - u), 0)
    cells = np.maximum((v + shift_here) / length_here, 0)
    column = np.floor(cells)
    share = cells - column
    along = np.minimum(share, 1 - share) * length_here
    number = np.take((row_at * COLUMNS).astype(np.int32), index, mode="clip") + column.astype(np.int32)
    return Lattice(number, (rows + 1) * COLUMNS, across, along, (u + u > low + high).astype(np.int32), u, v)
