"""Noise, and the change from one grid to another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.simulate.drainage import _along_rivers, landscape
from jspsr_cli.simulate.fields import averaged, enlarged, noise, shifted, stream
from tests.scenes import Array


@pytest.mark.parametrize(("coarse", "fine"), [(40, 208), (74, 592), (148, 700)])
def test_enlarging_keeps_a_plane_where_it_is(coarse: int, fine: int) -> None:
    def plane(side: int) -> Array:
        along = (np.arange(side) + 0.5) / side
        heights: Array = 3 + 5 * along[:, None] - 2 * along
        return heights

    inside = slice(3 * fine // coarse, -3 * fine // coarse)
    assert np.abs(enlarged(plane(coarse), fine) - plane(fine))[inside, inside].max() < 1e-4


def test_averages() -> None:
    values = np.arange(36.0).reshape(6, 6)
    assert averaged(values, 3).tolist() == [[7, 10], [25, 28]]


@given(by=st.integers(-9, 9), side=st.integers(10, 20))
def test_pixels_and_those_further_on(by: int, side: int) -> None:
    here, there = shifted(by, side)
    places = np.arange(side)
    assert (places[there] - places[here] == by).all()
    assert len(places[here]) == side - abs(by)


def test_noise_has_the_wavelengths_asked_for() -> None:
    fields = np.stack([noise(stream(1, i), 128, extent=1024, longest=200, shortest=100) for i in range(20)])
    assert fields.std(axis=(1, 2)) == pytest.approx(np.ones(20), abs=1e-3)
    faded = fields * np.hanning(128) * np.hanning(128)[:, None]
    power = (np.abs(np.fft.fft2(faded)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128, 8), np.fft.fftfreq(128, 8)))
    outside = (frequency > 1 / 50) | (frequency < 1 / 700)
    assert power[outside].sum() < 0.12 * power.sum()
    assert power[(frequency > 1 / 400) & (frequency < 1 / 80)].sum() > 0.7 * power.sum()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_sums_along_rivers(draws: list[int]) -> None:
    # Every cell flows to one before it; the first is the outlet.
    receivers = np.array([0] + [draw % (i + 1) for i, draw in enumerate(draws)])
    values = np.arange(1.0, len(receivers) + 1)
    up, down = values.copy(), values.copy()
    for cell in range(len(values) - 1, 0, -1):
        up[receivers[cell]] += up[cell]
    for cell in range(1, len(values)):
        down[cell] += down[receivers[cell]]
    assert _along_rivers(values, receivers, upstream=True) == pytest.approx(up)
    assert _along_rivers(values, receivers, upstream=False) == pytest.approx(down)


def test_a_landscape_drains() -> None:
    heights = landscape(stream(4), 60)
    assert (heights.min(), heights.max()) == (0, 1)
    middle = heights[1:-1, 1:-1]
    around = [heights[1 + i : 59 + i, 1 + j : 59 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    # Smoothing leaves a pit here and there; noise of this relief has one in nine cells.
    assert (middle < np.minimum.reduce(around)).mean() < 0.002
