"""Blending of overlapping windows: of a lattice, holding no more than one row of them, or of one square."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from jspsr_cli.tiling.windows import BORDER, MIN_TAPER, Lattice, smooth_rise
from jspsr_cli.types import FloatArray


class Blender:
    """Sums weighted windows and hands out the rows of the output that no later window reaches.

    Windows are planes (size, size), or `planes` of those that are blended alike: then whatever is given and handed out
    has them in front.

    `rows` and `cols` are those of the output. They and the starts of windows are counted from the origin of the
    CRS. Windows come row by row from the north, each row closed by `finish`. To go on after some rows of windows, give
    the output's rows that were finished by then as `done` and what `carry` was as `carry`.
    """

    def __init__(
        self,
        lattice: Lattice,
        *,
        rows: range,
        cols: range,
        planes: tuple[int, ...] = (),
        done: int = 0,
        carry: FloatArray | None = None,
    ) -> None:
        self._lattice = lattice
        self._rows = rows
        self._cols = cols
        self._done = rows.start + done
        self._weights = np.outer(lattice.weights, lattice.weights)
        self._sum = np.zeros((*planes, lattice.size, len(cols)))
        if carry is not None:
            self._sum[..., : lattice.overlap, :] = carry

    @property
    def carry(self) -> FloatArray:
        """After `finish`: the part of the next row of windows that earlier ones reach, (overlap, columns), float64."""
        return self._sum[..., : self._lattice.overlap, :].copy()

    def add(self, col: int, heights: FloatArray) -> None:
        """Add the window of the current row that starts at `col`: heights (size, size) in metres."""
        left, right = max(col, self._cols.start), min(col + self._lattice.size, self._cols.stop)
        here = slice(left - self._cols.start, right - self._cols.start)
        there = slice(left - col, right - col)
        self._sum[..., here] += self._weights[:, there] * heights[..., there]

    def reach(self, row: int) -> int:
        """The row before which all is finished once the row of windows that starts at `row` is closed."""
        # The first row of windows may lie so far north that the next one reaches all of the output too.
        return max(self._done, min(row + self._lattice.stride + BORDER, self._rows.stop))

    def finish(self, row: int) -> tuple[int, FloatArray]:
        """Close the row of windows that starts at `row`.

        Returns the first finished row and the finished rows (rows, columns), float64. What no window was added for
        is 0 there.
        """
        first, stop = self._done, self.reach(row)
        finished = self._sum[..., first - row : stop - row, :].copy()
        stride = self._lattice.stride
        self._sum[..., :-stride, :] = self._sum[..., stride:, :].copy()
        self._sum[..., -stride:, :] = 0
        self._done = stop
        return first, finished


def join_tiles(tiles: Sequence[FloatArray], starts: Sequence[int]) -> FloatArray:
    """One plane of square tiles row by row, which begin at all pairs of `starts` and overlap their next ones only.

    As between windows, the outer pixels of a tile have no weight where a neighbour has better ones. Where there is
    none, at the edge of the whole, they are taken as they are.
    """
    size = len(tiles[0])
    along = _tile_weights(starts, size)
    plane = np.zeros((starts[-1] + size,) * 2)
    for ((row, down), (col, across)), tile in zip(
        product(zip(starts, along, strict=True), repeat=2), tiles, strict=True
    ):
        plane[row : row + size, col : col + size] += np.outer(down, across) * tile
    return plane


def _tile_weights(starts: Sequence[int], size: int) -> FloatArray:
    """Weights along one side, (tiles, size); over all tiles they sum to 1."""
    weights = np.ones((len(starts), size))
    for number, (first, second) in enumerate(pairwise(starts)):
        shared = first + size - second
        # Tiles that share less than their unreliable borders meet in the middle.
        taper = min(shared, max(shared - 2 * BORDER, MIN_TAPER))
        rise = np.concatenate([np.zeros((shared - taper) // 2), smooth_rise(taper)])
        rise = np.concatenate([rise, np.ones(shared - len(rise))])
        weights[number, size - shared :] = 1 - rise
        weights[number + 1, :shared] = rise
    return weights
