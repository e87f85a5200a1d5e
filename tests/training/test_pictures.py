"""What is drawn."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.pictures import SMALLEST_DIFFERENCE, coloured_difference
from jspsr_cli.training.sheets import picture_sheet
from jspsr_cli.types import FloatArray


def test_colours_of_a_difference_end_where_the_wildest_begin() -> None:
    """Of 101 sizes 0 to 100, with a spike and a void, the 98th percentile is 98 and a bit."""
    metres = np.append(np.arange(101.0), [1e6, math.nan])[None].astype(np.float32)
    colours, end = coloured_difference(metres)
    assert end == pytest.approx(98.98)
    assert colours.shape == (1, 103, 4)
    assert (colours[0, 100] == colours[0, 101]).all()
    assert colours[0, 102, 3] == 0
    assert colours[0, 90, 0] > colours[0, 90, 2]  # above is red


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_nothing_is_a_difference_too(value: float) -> None:
    assert coloured_difference(np.full((2, 2), value, np.float32))[1] == SMALLEST_DIFFERENCE


@pytest.mark.parametrize("void", [1, 64])
def test_a_sheet_of_a_truth_with_voids(tmp_path: Path, void: int) -> None:
    plane = np.linspace(0.1, 0.2, 64, dtype=np.float32).reshape(1, 8, 8)
    truth = plane.copy()
    truth.flat[:void] = math.nan
    crop: dict[str, FloatArray] = {"dem": plane, "target": truth, "predicted": plane, "base": np.array(10.0)}
    picture_sheet(tmp_path / "sheet.png", [crop], scale=HeightScale(-80, 929), title="one")
    picture = imread(tmp_path / "sheet.png")
    across = picture.shape[1] // 4
    assert len(np.unique(picture[:, :across].reshape(-1, 4), axis=0)) > 60  # the input has its colours
