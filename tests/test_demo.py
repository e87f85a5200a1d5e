"""The demo is the first thing that a newcomer runs: it works, and it notices when something does not."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from examples import demo


def test_enhances_judges_and_draws(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main(tmp_path, size=64) == 0
    said = capfd.readouterr()
    assert f"$ jspsr enhance {tmp_path / 'cop30.tif'} --canopy" in said.out
    assert "starter-8m-canopy is used" in said.err
    assert "trained on simulated scenes" in said.err

    # What the table says, counted anew.
    error = demo.read(tmp_path / "dem.tif") - demo.read(tmp_path / "truth.tif")
    row = next(line for line in said.out.splitlines() if "everywhere" in line)
    after = said.out.splitlines()[said.out.splitlines().index(row) + 1]
    assert f"{np.sqrt(np.mean(error**2)):.2f}" in after

    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "picture.png") as dataset:
        assert len(np.unique(dataset.read())) > 100


@pytest.mark.parametrize("change", [4.0, float("nan")])
def test_fails_where_the_output_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: float
) -> None:
    def enhance(folder: Path) -> int:
        with rasterio.open(folder / "before.tif") as dataset:
            heights, profile = dataset.read(), dataset.profile
        heights[0, :9] += change
        with rasterio.open(folder / "dem.tif", "w", **profile) as dataset:
            dataset.write(heights)
        return 0

    monkeypatch.setattr(demo, "enhance", enhance)
    assert demo.main(tmp_path, size=32) == 1
    assert "no better than the input" in capsys.readouterr().err


def test_passes_on_the_exit_code_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "enhance", lambda _: 2)
    assert demo.main(tmp_path, size=32) == 2
