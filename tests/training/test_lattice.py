"""The lattice of samples lies where the most whole ones fit."""

from typing import cast

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.training import lattice
from jspsr_cli.training.lattice import lattice_start
from jspsr_cli.types import FloatArray
from tests.scenes import Array
from tests.training.prepared import UTM


class Layer:
    """A layer on a grid that begins `row` rows and `col` columns from the origin; `broken` rows cannot be read."""

    def __init__(self, known: Array, *, row: int = 0, col: int = 0, broken: range = range(0)) -> None:
        height, width = known.shape
        self.grid = Grid(rasterio.CRS.from_string(UTM), Affine(8, 0, 8 * col, 0, -8, -8 * row), width, height)
        self._known, self._broken = known, broken

    def read(self, row: int, col: int, height: int, width: int) -> FloatArray:
        if set(self._broken) & set(range(row, row + height)):
            raise ReadFailed("broken")
        part = self._known[row : row + height, col : col + width]
        values: FloatArray = np.where(part, np.float32(1), np.float32(np.nan))[None]
        return values

    def start(self, side: int, *, voids: float = 0.0) -> tuple[int, int]:
        return lattice_start(self.grid, side, [cast(AlignedLayer, self)], voids=voids)


def whole(known: Array, side: int, start: tuple[int, int], voids: float) -> int:
    height, width = known.shape
    squares = [
        known[row : row + side, col : col + side]
        for row in range(start[0], height - side + 1, side)
        for col in range(start[1], width - side + 1, side)
    ]
    return sum((~square).mean() <= voids for square in squares)


@given(
    st.integers(3, 22), st.integers(3, 22), st.integers(2, 6), st.sampled_from([0.0, 0.3]), st.integers(0, 2**32 - 1)
)
def test_no_other_lattice_has_more_whole_squares(height: int, width: int, side: int, voids: float, seed: int) -> None:
    known = np.random.default_rng(seed).random((height, width)) < 0.9
    row, col = seed % 50, seed % 31
    found = Layer(known, row=row, col=col).start(side, voids=voids)
    counts = {(r, c): whole(known, side, (r, c), voids) for r in range(side) for c in range(side)}
    assert counts[found] == max(counts.values())
    anchored = (-row % side, -col % side)
    if counts[found] and counts[anchored] == counts[found]:
        assert found == anchored


def test_where_no_square_fits_one_has_as_much_as_it_can() -> None:
    known = np.zeros((10, 12), dtype=bool)
    known[2:9, 3:11] = True
    assert Layer(known).start(8) in {(1, 3), (2, 3)}  # 7 of 8 rows


def test_what_cannot_be_read_is_void() -> None:
    assert Layer(np.ones((12, 4), dtype=bool), row=3, broken=range(4)).start(4) == (0, 0)
    assert Layer(np.ones((13, 4), dtype=bool), row=-1, broken=range(4)).start(4) == (1, 0)


@given(st.integers(1, 40), st.integers(0, 50))
def test_large_places_are_not_read(height: int, row: int) -> None:
    layer = Layer(np.ones((height, 8), dtype=bool), row=row, broken=range(height))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice, "SEARCHED", 0)
        first, _ = layer.start(8)
    assert max(0, height - first) // 8 == height // 8
    equals = range(height % 8 + 1)
    assert first in equals
    assert away(first, -row % 8) == min(away(other, -row % 8) for other in equals)


def away(start: int, anchored: int) -> int:
    """Pixels from one lattice of squares of 8 to another."""
    return min((start - anchored) % 8, (anchored - start) % 8)
