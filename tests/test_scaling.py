"""Heights and guides to the network's range, against the published values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.scaling import HeightScale, scale_canopy, scale_classes, scale_image

#: Published for base 12 m.
HEIGHTS = np.array([12.0, 17.0, 42.0, 112.0, 412.0, 860.0], np.float32)
SCALED = {
    929.0: [0.6335416059, 0.6423065470, 0.6795827957, 0.7507837143, 0.8925893599, 0.9879012947],
    933.0: [0.6331794160, 0.6419393462, 0.6791942845, 0.7503544982, 0.8920790748, 0.9873365206],
}


@pytest.mark.parametrize("high", SCALED)
def test_published_values(high: float) -> None:
    scale = HeightScale(-80.0, high)
    scaled = scale.scale(HEIGHTS, 12.0)
    assert scaled.dtype == np.float32
    assert scaled == pytest.approx(np.array(SCALED[high]), abs=1e-7)
    assert scale.unscale(np.array(SCALED[high]), 12.0) == pytest.approx(HEIGHTS, abs=1e-4)


@given(st.floats(-400, 8000), st.floats(0, 900))
def test_there_and_back_is_half_a_millimetre(base: float, relief: float) -> None:
    scale = HeightScale(-80.0, 929.0)
    height = np.array([base + relief])
    assert scale.unscale(scale.scale(height, base), base) == pytest.approx(height, abs=5e-4)


def test_the_top_of_the_range_is_one_and_nothing_is_clipped() -> None:
    scale = HeightScale(-80.0, 929.0)
    assert scale.scale(np.array([929.0]), 0.0) == pytest.approx(1.0)
    assert scale.scale(np.array([3000.0]), 0.0)[0] > 1.1


def test_guides() -> None:
    assert scale_image(np.array([0, 255], np.float32)).tolist() == [0, 1]
    assert scale_canopy(np.array([0, 34, 68, 80], np.float32)).tolist() == [0, 0.5, 1, 1]
    stack = scale_classes(np.array([[[0, 14]]], np.float32))
    assert stack.shape == (15, 1, 2)
    assert stack[0, 0, 0] == pytest.approx(1 / 16)
    assert stack[14, 0, 1] == pytest.approx(15 / 16)
    assert np.count_nonzero(stack) == 2
