"""The lattice of windows, its weights, the blending and the filling of voids."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jspsr_cli.errors import InvalidOption
from jspsr_cli.limits import DEFAULT_OVERLAP
from jspsr_cli.tiling.blend import Blender, join_tiles
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.tiling.windows import BORDER, MIN_OVERLAP, Lattice
from tests.scenes import Array

sizes = st.integers(4, 32).map(lambda n: 8 * n)


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    size = draw(sizes)
    return Lattice(size, draw(st.integers(2, size // 8 - 1)) * 8)


@given(lattices(), st.integers(-10_000, 10_000), st.integers(1, 600))
def test_weights_sum_to_one_everywhere(lattice: Lattice, first: int, length: int) -> None:
    total = np.zeros(length + 2 * lattice.size)
    for start in lattice.starts(first, first + length):
        at = start - first + lattice.size
        total[at : at + lattice.size] += lattice.weights
    assert total[lattice.size : lattice.size + length] == pytest.approx(1, abs=1e-12)


@given(lattices(), st.integers(-10_000, 10_000), st.integers(1, 600))
def test_no_window_without_weight(lattice: Lattice, first: int, length: int) -> None:
    for start in lattice.starts(first, first + length):
        assert start % lattice.stride == 0
        assert start + BORDER < first + length
        assert start + lattice.size - BORDER > first


@given(lattices())
def test_weights_are_smooth_symmetric_and_zero_on_the_border(lattice: Lattice) -> None:
    weights = lattice.weights
    assert weights == pytest.approx(weights[::-1])
    assert (weights[:BORDER] == 0).all()
    assert (weights[BORDER:-BORDER] > 0).all()
    taper = min(lattice.overlap - 2 * BORDER, lattice.size // 2 - BORDER)
    # A smoothstep rises by at most 1.5 / length a pixel, and its first step from 0 is smaller still; where more
    # than two windows overlap, dividing by their sum bends it a little.
    assert np.abs(np.diff(weights)).max() <= 2 / taper


@pytest.mark.parametrize(("size", "overlap"), [(60, 16), (24, 16), (64, 8), (64, 64), (64, 72), (0, 0)])
def test_lattices_that_cannot_work(size: int, overlap: int) -> None:
    with pytest.raises(InvalidOption):
        Lattice(size, overlap)


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(InvalidOption, match="not a share"):
        Lattice.of_share(128, share)


def test_the_default_overlap() -> None:
    assert Lattice.of_share(128, DEFAULT_OVERLAP) == Lattice(128, 24)
    assert Lattice.of_share(128, 0.2) == Lattice(128, 32)  # rounded up to a multiple of 8


@pytest.mark.parametrize(("size", "share"), [(32, DEFAULT_OVERLAP), (64, DEFAULT_OVERLAP), (128, 0), (256, 0.01)])
def test_small_overlaps_are_those_that_can_be_blended(size: int, share: float) -> None:
    assert Lattice.of_share(size, share) == Lattice(size, MIN_OVERLAP)


@settings(max_examples=30)
@given(lattices(), st.integers(-500, 500), st.integers(1, 300), st.integers(-500, 500), st.integers(1, 300))
def test_blending_gives_back_what_the_windows_agree_on(
    lattice: Lattice, top: int, height: int, left: int, width: int
) -> None:
    rows, cols = range(top, top + height), range(left, left + width)

    def field(row: int, col: int) -> Array:
        r, c = np.mgrid[row : row + lattice.size, col : col + lattice.size]
        heights: Array = r * 1000.0 + c
        return heights

    blender = Blender(lattice, rows=rows, cols=cols)
    parts: list[Array] = []
    done = top
    for row in lattice.starts(rows.start, rows.stop):
        for col in lattice.starts(cols.start, cols.stop):
            blender.add(col, field(row, col))
        first, finished = blender.finish(row)
        assert first == done
        done += len(finished)
        parts.append(finished)
    assert done == rows.stop
    r, c = np.mgrid[rows.start : rows.stop, cols.start : cols.stop]
    assert np.concatenate(parts) == pytest.approx(r * 1000.0 + c, abs=1e-6)


def test_voids_beyond_a_straight_edge_are_reflected() -> None:
    values = np.arange(48, dtype=np.float32).reshape(1, 6, 8) ** 2
    void = values.copy()
    void[:, :, 5:] = np.nan
    assert np.array_equal(fill_voids(void)[:, :, :], np.pad(values[:, :, :5], ((0, 0), (0, 0), (0, 3)), "reflect"))


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.999))
def test_voids_are_filled_from_valid_pixels(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((2, 9, 11), dtype=np.float32)
    void = rng.random((9, 11)) < share
    void[tuple(rng.integers(0, (9, 11)))] = False
    values[:, void] = np.nan
    filled = fill_voids(values)
    assert np.array_equal(filled[:, ~void], values[:, ~void])
    assert np.isin(filled[0], values[0, ~void]).all()
    # Both bands come from the same pixel.
    pairs = {tuple(pair) for pair in values[:, ~void].T}
    assert {tuple(pair) for pair in filled.reshape(2, -1).T} <= pairs


@st.composite
def tile_layouts(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Side of the tiles, and their starts; they overlap the next ones only."""
    size = draw(sizes)
    steps = draw(st.lists(st.integers((size + 1) // 2, size), max_size=3))
    return size, [sum(steps[:i]) for i in range(len(steps) + 1)]


def cut(plane: Array, size: int, starts: list[int]) -> list[Array]:
    return [plane[row : row + size, col : col + size].copy() for row in starts for col in starts]


@given(tile_layouts(), st.integers(0, 2**32 - 1))
def test_tiles_of_a_plane_are_that_plane_again(layout: tuple[int, list[int]], seed: int) -> None:
    size, starts = layout
    plane = np.random.default_rng(seed).uniform(0, 1000, (starts[-1] + size,) * 2)
    np.testing.assert_allclose(join_tiles(cut(plane, size, starts), starts), plane, rtol=1e-12)


@given(tile_layouts())
def test_borders_of_tiles_count_only_where_there_is_nothing_else(layout: tuple[int, list[int]]) -> None:
    size, starts = layout
    tiles = cut(np.zeros((starts[-1] + size,) * 2), size, starts)
    for tile in tiles:
        tile[:BORDER] = tile[-BORDER:] = tile[:, :BORDER] = tile[:, -BORDER:] = 1.0
    joined = join_tiles(tiles, starts)
    known = np.ones(starts[-1] + size, dtype=bool)
    known[:BORDER] = known[-BORDER:] = False
    for first, second in pairwise(starts):
        if first + size - second < MIN_OVERLAP:  # the borders meet
            known[second : first + size] = known[second - BORDER : first + size + BORDER] = False
    assert not joined[np.ix_(known, known)].any()


def test_tiles_fade_into_each_other_as_windows_do() -> None:
    lattice = Lattice(128, 25)
    tiles = [np.full((128, 128), float(number)) for number in range(9)]
    across = join_tiles(tiles, (0, 103, 206))[200]
    np.testing.assert_allclose(across[103:128], 3 + lattice.weights[:25], atol=1e-12)
    np.testing.assert_allclose(across[206:231], 4 + lattice.weights[:25], atol=1e-12)
