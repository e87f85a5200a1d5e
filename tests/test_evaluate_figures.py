"""The parts of `evaluate` against numpy, scipy, closed forms and direct sums."""

import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from scipy import ndimage, stats

from jspsr_cli.assess.bins import BINS, ERRORS, SIDE, around, bin_of, coarse_measures, percentile
from jspsr_cli.assess.bootstrap import FEWEST_BLOCKS, draw_blocks, drawn_figures, intervals_of, widening
from jspsr_cli.assess.counting import MOST_BLOCKS, Blocks
from jspsr_cli.assess.evaluated import Intervals
from jspsr_cli.assess.ground import PARTITIONS, slope
from jspsr_cli.assess.metrics import BORDER
from jspsr_cli.assess.offset import offset_of
from jspsr_cli.assess.persample import ssim
from jspsr_cli.assess.tally import Tally
from jspsr_cli.raster.grid import Grid
from tests.scenes import Array, terrain

UTM = CRS.from_epsg(32632)


def grid(width: int, height: int, resolution: float = 10.0) -> Grid:
    return Grid(UTM, Affine(resolution, 0, 5e5, 0, -resolution, 5e6), width, height)


def tallied(errors: Array, blocks: Array | None = None, count: int = 1, **options: bool) -> Tally:
    """All errors in one class."""
    tally = Tally(1, count, **options)
    zeros = np.zeros(errors.size, dtype=np.int64)
    unknown = np.full(errors.size, np.nan)
    tally.add(errors.astype(np.float32), unknown, classes=zeros, blocks=zeros if blocks is None else blocks)
    return tally


# Bins

ERRORS_OF_ANY_SIZE = arrays(np.float32, st.integers(1, 60), elements=st.floats(-9000, 9000, width=32))


@settings(max_examples=30)
@given(ERRORS_OF_ANY_SIZE)
def test_percentiles_are_those_of_numpy_to_a_millimetre(errors: Array) -> None:
    counts = np.bincount(bin_of(errors), minlength=BINS)
    exact = errors.astype(np.float64)
    for share in (0.0, 0.01, 0.5, 0.9, 1.0):
        # half a bin at each of two errors, of which either can be the largest
        bound = 1e-3 + 1e-4 * np.abs(exact).max()
        assert percentile(ERRORS, counts, share) == pytest.approx(np.quantile(exact, share), abs=bound)
        assert around(counts, 3.0, share) == pytest.approx(np.quantile(np.abs(exact - 3), share), abs=bound)


def test_bins_are_narrow_where_errors_are_small_and_reach_as_far_as_heights() -> None:
    widths = np.diff(ERRORS)
    assert widths[SIDE] == pytest.approx(1e-3, rel=1e-6)
    assert widths[np.abs(ERRORS[:-1]) < 10].max() < 1.5e-3
    assert (widths / np.maximum(10, np.abs(ERRORS[:-1]))).max() < 1.5e-4
    assert ERRORS[-1] >= 10_000
    assert bin_of(np.array([-1e9, 1e9])).tolist() == [0, BINS - 1]


@pytest.mark.parametrize("scale", [0.2, 1.0, 20.0])
def test_measures_for_intervals_are_good_to_a_centimetre(scale: float) -> None:
    errors = np.random.default_rng(1).gamma(3, scale, 20_000) - 2 * scale
    coarse = tallied(errors, by_block=True).coarse
    assert coarse is not None
    found, median = coarse_measures(coarse[0].astype(np.float32)), np.median(errors)
    truth = {
        "median": median,
        "nmad": 1.4826 * np.median(np.abs(errors - median)),
        "le90": np.percentile(np.abs(errors), 90),
        "le95": np.percentile(np.abs(errors), 95),
    }
    assert found == pytest.approx(truth, abs=0.01 * max(1.0, scale))


# Tallies


@settings(max_examples=15)
@given(st.integers(0, 300), st.lists(st.integers(0, 200), max_size=4))
def test_a_tally_has_the_figures_of_numpy_however_the_work_was_cut(seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    errors = random.normal(0.5, 2, 200).astype(np.float32)
    slopes = np.where(random.random(200) < 0.2, np.nan, random.normal(0, 5, 200))
    classes, blocks = random.integers(-1, 3, 200), random.integers(0, 5, 200)
    tally = Tally(3, 5, by_block=True)
    for part in np.split(np.arange(200), sorted(cuts)):
        tally.add(errors[part], slopes[part], classes=classes[part], blocks=blocks[part])
    for number in range(3):
        here = classes == number
        e, s = errors[here].astype(np.float64), slopes[here]
        found = tally.figures(number)
        assert found.rmse == pytest.approx(math.sqrt(np.mean(e**2)), rel=1e-12)
        assert (found.mae, found.mean) == pytest.approx((np.abs(e).mean(), e.mean()), rel=1e-9)
        assert found.median == pytest.approx(np.median(e), abs=1e-3)
        assert found.nmad == pytest.approx(1.4826 * np.median(np.abs(e - np.median(e))), abs=2e-3)
        assert found.le90 == pytest.approx(np.percentile(np.abs(e), 90), abs=1e-3)
        assert found.percentiles["p99"] == pytest.approx(np.percentile(e, 99), abs=1e-3)
        assert found.slope_rmse == pytest.approx(math.sqrt(np.nanmean(s**2)), rel=1e-12)
    assert tally.pixels.sum() == (classes >= 0).sum() == tally.coarse.sum()  # type: ignore[union-attr]
    assert (tally.coarse.sum(axis=1) == tally.pixels.sum(axis=0)).all()  # type: ignore[union-attr]


# Intervals


def intervals_drawn(tally: Tally) -> Intervals:
    count = int(np.count_nonzero(tally.pixels[0]))
    return intervals_of(drawn_figures(tally, 0, draw_blocks(tally.pixels[0] > 0)), vars(tally.figures(0)), blocks=count)


def test_intervals_take_errors_that_are_alike_within_a_block_for_one() -> None:
    # 400 blocks of 50 pixels with one error each: the mean is as uncertain as that of 400 numbers, not of 20,000.
    of_blocks = np.random.default_rng(3).normal(1, 2, 400)
    blocks = np.repeat(np.arange(400), 50)
    tally = tallied(of_blocks[blocks], blocks, 400, by_block=True)
    ends = intervals_drawn(tally)
    low, high = ends["mean"]
    assert low < of_blocks.mean() < high
    assert (high - low) / (2 * 1.96) == pytest.approx(of_blocks.std() / math.sqrt(400), rel=0.1)
    assert set(ends) == {"rmse", "mae", "mean", "median", "nmad", "le90", "le95"}
    figures = tally.figures(0)
    for name, (low, high) in ends.items():
        assert low < getattr(figures, name) < high
    assert ends == intervals_drawn(tally)


def test_intervals_lie_around_figures_that_are_finer_than_their_bins() -> None:
    # Most errors are 5 mm, in a coarse bin of 5 cm: that of a bin's middle would be said to be certain.
    random = np.random.default_rng(6)
    errors, blocks = (
        np.where(random.random(4000) < 0.7, 0.005, random.normal(1, 2, 4000)),
        np.repeat(np.arange(40), 100),
    )
    tally = tallied(errors, blocks, 40, by_block=True)
    ends, figures = intervals_drawn(tally), tally.figures(0)
    for name, (low, high) in ends.items():
        assert low <= getattr(figures, name) <= high, name
    assert ends["median"] == pytest.approx((0.005, 0.005), abs=0.01)
    assert ends["nmad"][0] >= 0


@pytest.mark.parametrize("blocks", [10, 30, 1000])
def test_intervals_of_few_blocks_are_those_of_student(blocks: int) -> None:
    assert widening(blocks) == pytest.approx(stats.t.ppf(0.975, blocks - 1) / 1.96 * math.sqrt(blocks / (blocks - 1)),
                                             rel=1e-4)  # fmt: skip


@pytest.mark.parametrize("blocks", [10, 30])
def test_intervals_of_few_blocks_hold_the_truth_as_often_as_they_say(blocks: int) -> None:
    # Mean squares of two sources in a block are alike and skewed; their true RMSE is the same.
    random, times, trials = np.random.default_rng(8), draw_blocks(np.ones(blocks, dtype=bool)), 400
    held = 0
    for _ in range(trials):
        squares = np.exp(0.4 * random.normal(size=blocks) + 0.3 * random.normal(size=(2, blocks)))
        own, other = (np.sqrt(times @ values / blocks) for values in squares)
        exact = {"rmse": float(np.subtract(*np.sqrt(squares.mean(axis=1))))}
        low, high = intervals_of({"rmse": own - other}, exact, blocks=blocks, differences=True)["rmse"]
        held += low < 0 < high
    # Three standard errors of so many trials. Of 10 blocks, percentiles as they are drawn hold it in 89 %.
    assert held / trials == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials))


def test_only_figures_that_can_be_negative_have_intervals_below_zero() -> None:
    drawn = {name: np.linspace(0.0, 4.0, 101) for name in ("rmse", "mean")}
    exact = dict.fromkeys(drawn, 1.0)
    ends = intervals_of(drawn, exact, blocks=10)
    assert (ends["rmse"][0], ends["rmse"][1]) == (0.0, ends["mean"][1])
    assert ends["mean"][0] < 0
    assert intervals_of(drawn, exact, blocks=10, differences=True)["rmse"][0] < 0


@pytest.mark.parametrize("count", [FEWEST_BLOCKS - 1, FEWEST_BLOCKS])
def test_few_blocks_give_no_interval(count: int) -> None:
    tally = tallied(np.arange(2.0 * count), np.arange(2 * count) // 2, 50)
    assert bool(drawn_figures(tally, 0, draw_blocks(tally.pixels[0] > 0))) == (count == FEWEST_BLOCKS)


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(1, 3000))
def test_blocks_cover_the_grid_and_are_not_too_many(width: int, height: int, side: float) -> None:
    blocks = Blocks.of(grid(width, height), side)
    assert blocks.count <= MOST_BLOCKS
    assert blocks.side >= max(10.0, side - 5.001)  # whole pixels of 10 m
    corner = np.zeros((1, width), dtype=bool)
    corner[0, [0, -1]] = True
    assert blocks.numbers(0, corner)[0] == 0
    assert blocks.numbers(height - 1, corner)[-1] == blocks.count - 1
    # the strip that a pixel comes in does not matter
    known = np.ones((3, 1), dtype=bool)
    assert (blocks.numbers(7, known) == [blocks.numbers(row, known[:1])[0] for row in (7, 8, 9)]).all()


# Ground


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.5, 30), st.floats(0.5, 30))
def test_slope_of_a_plane(east: float, south: float, xres: float, yres: float) -> None:
    rows, cols = np.mgrid[:6, :5]
    found = slope((east * xres * cols + south * yres * rows).astype(np.float64), (xres, yres))
    assert found.shape == (4, 3)
    assert found == pytest.approx(math.degrees(math.atan(math.hypot(east, south))), abs=1e-6)


def test_slope_is_that_of_horn_and_void_beside_voids() -> None:
    heights = np.random.default_rng(2).normal(0, 3, (20, 30))
    found = slope(heights, (2.0, 4.0))
    gradient = np.hypot(ndimage.sobel(heights, 1) / 16, ndimage.sobel(heights, 0) / 32)
    assert found == pytest.approx(np.degrees(np.arctan(gradient))[1:-1, 1:-1])
    heights[10, 10] = np.nan
    void = np.isnan(slope(heights, (2.0, 4.0)))
    assert void[8:11, 8:11].sum() == void.sum()  # the eight around it, whose middle has its own neighbours
    assert void.sum() == 8


@pytest.mark.parametrize(
    ("name", "values", "classes"),
    [
        ("slope", [0, 1.99, 2, 29.9, 30, 89, math.nan], ["0 to 2 d", "0 to 2 d", "2 to 5 d", "20 to", "30 d", "30 d"]),
        ("canopy", [0, 2, 19.9, 20, math.nan], ["0 to 2 m", "2 to 5 m", "10 to 20 m", "20 m and more"]),
        ("classes", [0, 10, 14, math.nan], ["no information", "forests", "water"]),
    ],
)
def test_an_edge_belongs_to_the_class_above(name: str, values: list[float], classes: list[str]) -> None:
    numbers = PARTITIONS[name].numbers(np.array(values))
    assert numbers[-1] == -1
    for number, begin in zip(numbers[:-1], classes, strict=True):
        assert PARTITIONS[name].classes[number].startswith(begin)


# SSIM


def ssim_by_hand(a: Array, b: Array) -> float:
    """Sums over each window, as in the paper of Wang et al."""
    steps = np.arange(11) - 5
    weights = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for row in range(a.shape[0] - 10):
        for col in range(a.shape[1] - 10):
            p, q = a[row : row + 11, col : col + 11], b[row : row + 11, col : col + 11]
            if np.isnan(p + q).any():
                continue
            x, y = (weights * p).sum(), (weights * q).sum()
            xx, yy, xy = ((weights * u * v).sum() for u, v in ((p - x, p - x), (q - y, q - y), (p - x, q - y)))
            found.append((2 * x * y + 1e-4) * (2 * xy + 9e-4) / ((x**2 + y**2 + 1e-4) * (xx + yy + 9e-4)))
    return float(np.mean(found))


def test_ssim_is_that_of_direct_sums_and_voids_do_not_count() -> None:
    pytest.importorskip("skimage")
    random = np.random.default_rng(5)
    truth = random.random((40, 44))
    predicted = np.clip(truth + random.normal(0, 0.2, truth.shape), 0, 1)
    truth[10, 12] = predicted[30, 35] = np.nan
    cut = int(BORDER * 40)
    assert cut == 2
    expected = ssim_by_hand(predicted[2:-2, 2:-2], truth[2:-2, 2:-2])
    assert ssim(predicted, truth) == pytest.approx(expected, abs=1e-9)
    assert math.isnan(ssim(predicted * np.nan, truth))
    assert ssim(truth, truth) == pytest.approx(1)


# Offsets


def moved(east: float, north: float, up: float = 0.0) -> tuple[Array, Array]:
    """Terrain with pixels of 10 m, and the same that lies off."""
    y, x = np.mgrid[:240, :260] * 10.0
    return terrain(x - east, y + north) + up, terrain(x, y)


@pytest.mark.parametrize("shift", [(7.0, 3.0, 2.5), (-12.0, 0.0, -1.0), (0.0, 0.0, 0.0)])
def test_an_offset_is_found_with_its_signs(shift: tuple[float, float, float]) -> None:
    pytest.importorskip("xdem")
    source, reference = moved(*shift)
    source[50:55] = np.nan
    found = offset_of(source.astype(np.float32), reference.astype(np.float32), grid(260, 240))
    assert found is not None
    assert (found.east, found.north, found.up) == pytest.approx(shift, abs=0.4)
    assert found.uncertain < 0.5


def contradictory() -> tuple[Array, Array]:
    """Parts that lie off to different sides."""
    (source, reference), (other, _) = moved(25.0, 0.0), moved(-25.0, 0.0)
    return np.where(np.arange(260) < 130, source, other), reference


NO_OFFSET: dict[str, Any] = {
    "flat": lambda: (np.random.default_rng(0).normal(0, 0.05, (60, 60)), np.zeros((60, 60))),
    "small": lambda: tuple(heights[:20, :20] for heights in moved(5, 5)),
    "nothing shared": lambda: (moved(5, 5)[0] * np.nan, moved(5, 5)[1]),
    "one row": lambda: (np.ones((1, 9)), np.ones((1, 9))),
    "parts contradict each other": contradictory,
}


@pytest.mark.parametrize("case", NO_OFFSET)
def test_no_offset_is_told_where_there_is_none(case: str) -> None:
    pytest.importorskip("xdem")
    source, reference = NO_OFFSET[case]()
    height, width = reference.shape
    assert offset_of(source.astype(np.float32), reference.astype(np.float32), grid(width, height)) is None
