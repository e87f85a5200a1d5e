"""Where the lattice of samples lies on a place, so that a small one gives as many as it can."""

from collections.abc import Sequence

import numpy as np

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import BoolArray, FloatArray

# Pixels a side of a place up to which its voids are looked at for this, which takes about as long as making its
# samples. In larger places a void costs few of them wherever the lattice lies.
SEARCHED = 1024


def lattice_start(grid: Grid, side: int, layers: Sequence[AlignedLayer], *, voids: float) -> tuple[int, int]:
    """Row and column of `grid`, from 0 to below `side`, where a square of the lattice begins.

    There the most squares lie wholly on `grid` with at most the share `voids` of them in any of `layers`; where no
    square does, the one with the most data begins there. Of equals it is the nearest to a lattice that is anchored at
    the origin of the CRS. Places larger than `SEARCHED` are taken as without voids.
    """
    anchored = (-grid.origin[0] % side, -grid.origin[1] % side)
    if max(grid.height, grid.width) > SEARCHED:
        return _nearest(anchored[0], grid.height % side, side), _nearest(anchored[1], grid.width % side, side)
    shares = np.min([_shares(_known(layer, side), side) for layer in layers], axis=0)
    whole = np.zeros_like(shares, dtype=bool)
    whole[side : grid.height + 1, side : grid.width + 1] = True
    whole &= shares >= 1 - voids
    worth = _by_start(whole, side).sum(axis=(0, 2)) if whole.any() else _by_start(shares, side).max(axis=(0, 2))
    rows, cols = (np.arange(side) - first for first in anchored)
    rows, cols = np.minimum(rows % side, -rows % side), np.minimum(cols % side, -cols % side)
    away = np.where(worth == worth.max(), rows[:, None] ** 2 + cols**2, np.inf)
    row, col = np.unravel_index(away.argmin(), away.shape)
    return int(row), int(col)


def _nearest(anchored: int, last: int, side: int) -> int:
    """Of the starts 0 to `last` the nearest to `anchored`: lattices repeat every `side` pixels."""
    if anchored <= last:
        return anchored
    return last if anchored - last < side - anchored else 0


def _known(layer: AlignedLayer, side: int) -> BoolArray:
    """Where `layer` has data on its grid (rows, columns); what cannot be read counts as void, and is named later."""
    grid = layer.grid
    known = np.zeros((grid.height, grid.width), dtype=bool)
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            part = known[row : row + side, col : col + side]
            try:
                part[...] = ~np.isnan(layer.read(row, col, *part.shape)[0])
            except ReadFailed:
                continue
    return known


def _shares(known: BoolArray, side: int) -> FloatArray:
    """The share of known pixels in the square that begins at each pixel, from `side` before the first row and column.

    Squares reach beyond the edges, where nothing is known. Both sides of the result are multiples of `side`.
    """
    padded = [(side, side + -length % side) for length in known.shape]
    sums = np.pad(known, padded).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    rows, cols = (length // side * side for length in counts.shape)
    shares: FloatArray = counts[:rows, :cols] / side**2
    return shares


def _by_start(values: FloatArray | BoolArray, side: int) -> FloatArray | BoolArray:
    """`values` of each first pixel of a square (squares, first row, squares, first column)."""
    rows, cols = values.shape
    return values.reshape(rows // side, side, cols // side, side)
