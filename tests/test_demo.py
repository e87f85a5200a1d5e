"""The demo is the first thing that a newcomer runs: it works, and it notices when something does not."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from examples import demo


def test_runs_checks_and_draws(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main(tmp_path, side=700) == 0
    said = capfd.readouterr().out
    assert f"$ jspsr enhance {tmp_path}" in said
    assert "identity" in said

    with rasterio.open(tmp_path / "dem.tif") as dataset:
        heights, transform = dataset.read(), dataset.transform
        assert dataset.crs.to_string() == demo.CRS
    assert (transform.c, transform.f) == (demo.WEST, demo.NORTH)

    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "picture.png") as dataset:
        colours = dataset.read()
    side = round(700 / demo.PICTURE_PIXEL)
    assert colours.shape == (3, side + demo.LABEL, 3 * side + 2 * demo.GAP)
    assert len(np.unique(colours)) > 20

    # The check can fail: a tenth of a pixel to the east, and one void.
    demo.write(tmp_path / "dem.tif", heights, crs=demo.CRS, transform=transform * Affine.translation(0.1, 0))
    assert demo.worst_error(tmp_path) > demo.MILLIMETRE
    heights[0, 20, 20] = np.nan
    demo.write(tmp_path / "dem.tif", heights, crs=demo.CRS, transform=transform)
    assert np.isnan(demo.worst_error(tmp_path))


@pytest.mark.parametrize("error", [0.002, float("nan")])
def test_fails_where_the_output_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: float
) -> None:
    monkeypatch.setattr(demo, "enhance", lambda _: 0)
    monkeypatch.setattr(demo, "worst_error", lambda _: error)
    assert demo.main(tmp_path, side=400) == 1
    assert "wrong with this installation" in capsys.readouterr().err


def test_passes_on_the_exit_code_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "enhance", lambda _: 2)
    assert demo.main(tmp_path, side=400) == 2
