"""What is drawn."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from jspsr_cli.assess.distribution import plot_errors
from jspsr_cli.assess.metrics import Pool
from jspsr_cli.pictures.colours import SMALLEST_DIFFERENCE, Colours, coloured_difference
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training import sheets
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


@pytest.mark.parametrize(("pixels", "bins"), [(100, 20), (10_000, 100), (1_000_000, 200)])
def test_bins_of_a_distribution_grow_with_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int, bins: int
) -> None:
    drawn: list[Figure] = []

    def savefig(figure: Figure, path: Path, **_: object) -> None:
        drawn.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", savefig)
    pools = {name: Pool([np.linspace(-3, 3, pixels, dtype=np.float32)]) for name in ("network", "input")}
    plot_errors(tmp_path / "plot.png", pools, order=("network", "input"), title="mine, 7 samples")
    density, within = drawn[0].axes
    assert [len(patch.get_data().values) for patch in density.patches] == [bins, bins]  # type: ignore[attr-defined]
    for axis in (density, within):
        legend = axis.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["network", "input"]


@pytest.mark.parametrize("void", [1, 64])
def test_a_sheet_of_a_truth_with_voids(tmp_path: Path, void: int) -> None:
    plane = np.linspace(0.1, 0.2, 64, dtype=np.float32).reshape(1, 8, 8)
    truth = plane.copy()
    truth.flat[:void] = math.nan
    crop: dict[str, FloatArray] = {"dem": plane, "target": truth, "predicted": plane, "base": np.array(10.0)}
    scale = HeightScale(-80, 929)
    picture_sheet(tmp_path / "sheet.png", {"Caen/0": crop}, scale=scale, border=0, title="one")
    picture = imread(tmp_path / "sheet.png")
    across = picture.shape[1] // 4
    assert len(np.unique(picture[:, :across].reshape(-1, 4), axis=0)) > 60  # the input has its colours


def test_the_unreliable_rim_is_not_in_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[tuple[tuple[int, ...], float]] = []
    plain = coloured_difference

    def seen(metres: FloatArray) -> tuple[Colours, float]:
        colours, end = plain(metres)
        ends.append((metres.shape, end))
        return colours, end

    monkeypatch.setattr(sheets, "coloured_difference", seen)
    truth = np.full((1, 16, 16), 0.5, np.float32)
    wild = np.full_like(truth, 0.9)
    wild[:, 4:-4, 4:-4] = 0.5
    canopy = np.linspace(0, 0.5, 256, dtype=np.float32).reshape(1, 16, 16)
    crop: dict[str, FloatArray] = {
        "dem": truth,
        "target": truth,
        "predicted": wild,
        "canopy": canopy,
        "base": np.array(10.0),
    }
    picture_sheet(tmp_path / "sheet.png", {"Caen/0": crop}, scale=HeightScale(-80, 929), border=0.25, title="one")
    assert ends == [((8, 8), SMALLEST_DIFFERENCE)]


def test_guides_have_the_same_colours_everywhere() -> None:
    """Class 7 beside 10, and beside nothing; canopy of 34 m at most, with its unit."""
    two = np.zeros((15, 1, 2), np.float32)
    two[7, 0, 0] = two[10, 0, 1] = 1
    heading, picture = sheets._guide_picture("mask", two)
    assert heading == "land use"
    assert (picture[0, 0] == sheets._guide_picture("mask", two[..., :1])[1][0, 0]).all()
    assert (picture[0, 0] != picture[0, 1]).any()
    heading, picture = sheets._guide_picture("canopy", np.array([[[0, 0.25, 0.5]]], np.float32))
    assert heading == "canopy, 0 to 34 m"
    assert picture[0, 2, 0] < picture[0, 1, 0] < picture[0, 0, 0]
