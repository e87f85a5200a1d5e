import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.assess.metrics import Compared, Metrics, Pool, compare, mean_metrics, pooled, sample_metrics
from jspsr_cli.scaling import HeightScale
from tests.scenes import Array

SCALE = HeightScale(-80.0, 929.0)


def of(errors: Array) -> Compared:
    values = np.asarray(errors, dtype=np.float32)
    return Compared(values, np.square(values))


def scaled(heights: Array) -> Array:
    return SCALE.scale(np.asarray(heights, dtype=np.float64), 0.0)


@given(st.floats(-5, 5), st.integers(0, 300))
def test_a_constant_error_is_found_whatever_the_heights(error: float, seed: int) -> None:
    truth = np.random.default_rng(seed).uniform(10, 60, (20, 20))
    metrics = sample_metrics(compare(scaled(truth + error), scaled(truth), scale=SCALE))
    # float32 of scaled heights: a step of the scale is 0.05 mm there
    assert metrics.rmse == pytest.approx(abs(error), abs=5e-4)
    assert metrics.median == pytest.approx(error, abs=5e-4)
    assert metrics.nmad == pytest.approx(0, abs=1e-3)
    assert metrics.le95 == pytest.approx(abs(error), abs=5e-4)


def test_per_sample_takes_the_lower_of_two_and_the_kth_smallest() -> None:
    metrics = sample_metrics(of(np.array([4.0, 1.0, 3.0, 2.0])))
    assert metrics.median == 2.0
    assert metrics.nmad == pytest.approx(1.4826 * 1.0)  # of 0, 1, 1, 2
    assert metrics.le95 == 4.0  # k = 1 + round(0.95 * 3)
    # Python rounds half to even: 0.95 * 10 is 9.5, and k is 11
    assert sample_metrics(of(np.arange(11.0))).le95 == 10.0


def test_pooled_takes_ordinary_medians_and_percentiles() -> None:
    pool = Pool()
    pool.add(of(np.array([4.0, 1.0])))
    pool.add(of(np.array([3.0, 2.0])))
    metrics = pool.metrics()
    assert metrics.median == 2.5
    assert metrics.nmad == pytest.approx(1.4826 * 1.0)
    assert metrics.le95 == pytest.approx(np.percentile([1, 2, 3, 4], 95))
    assert metrics.rmse == pytest.approx(math.sqrt(30 / 4))
    assert metrics.psnr == pytest.approx(-10 * math.log10(30 / 4 + 1e-8))


def test_samples_count_alike_per_sample_and_by_their_pixels_pooled() -> None:
    small, large = of(np.full(1, 1.0)), of(np.full(99, 3.0))
    pools = []
    for compared in (small, large):
        pools.append(Pool())
        pools[-1].add(compared)
    assert mean_metrics([sample_metrics(small), sample_metrics(large)]).rmse == 2.0
    assert pooled(pools).metrics().rmse == pytest.approx(math.sqrt((1 + 99 * 9) / 100))


def test_the_border_the_voids_and_what_is_beyond_the_range_do_not_count() -> None:
    truth = scaled(np.full((40, 40), 30.0))
    predicted = truth.copy()
    predicted[:2] = predicted[:, -2:] = 0.1  # 5 % of 40
    assert sample_metrics(compare(predicted, truth, scale=SCALE)).rmse == 0
    predicted[2, 5] = 0.1
    assert sample_metrics(compare(predicted, truth, scale=SCALE)).rmse > 1
    truth[2, 5] = np.nan
    assert sample_metrics(compare(predicted, truth, scale=SCALE)).rmse == 0
    top = np.ones((20, 20), dtype=np.float32)
    assert sample_metrics(compare(top * 3, top, scale=SCALE)).rmse == 0  # clamped to 1
    assert compare(predicted * np.nan, truth, scale=SCALE).errors.size == 0


def test_psnr_of_a_perfect_prediction_is_80() -> None:
    assert sample_metrics(of(np.zeros(5))).psnr == pytest.approx(80)


def test_nothing_has_no_metrics() -> None:
    assert all(math.isnan(value) for value in vars(Pool().metrics()).values())
    assert isinstance(mean_metrics([]), Metrics)
