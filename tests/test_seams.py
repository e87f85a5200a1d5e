"""Contract 3: no step between windows, and no trace of how the work was cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from jspsr_cli.pipeline import enhance
from jspsr_cli.raster import align
from jspsr_cli.request import EnhanceOptions
from jspsr_cli.tiling.windows import Lattice
from jspsr_models import JSPSR
from tests.scenes import Array, cop30, guide_over, heights_of, identity, weights_info

WINDOW, OVERLAP = 64, 0.25


class RandomOffsets:
    """Shifts every window by a random constant on the scaled heights, the same for the same window content."""

    def __init__(self, largest: float) -> None:
        self.largest = largest

    def __call__(self, dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        seeds = [int(abs(float(d.sum())) * 1e4) for d in dem]
        shifts = [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return dem + (torch.stack(shifts).reshape(-1, 1, 1, 1) * 2 - 1) * self.largest


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("scene")
    dem = cop30(folder / "dem.tif", lon=2.4, lat=48.9, size=90)
    return dem, guide_over(folder / "guide.tif", dem, crs="EPSG:32631", resolution=4, share=0.9)


def run(scene: tuple[Path, Path], folder: Path, network: Any, **choices: Any) -> Array:
    dem, guide = scene
    output = folder / "out.tif"
    options = EnhanceOptions(**{"window": WINDOW, "overlap": OVERLAP, "overwrite": True, **choices})
    enhance(dem, output=output, image=[guide], weights=(network, weights_info("image")), options=options)
    return heights_of(output)


def network() -> JSPSR:
    """A small network with random weights whose output keeps near its input."""
    torch.manual_seed(3)
    return JSPSR(inputs=("image",), num_feature=4).eval()


def test_random_constants_leave_slopes_only(scene: tuple[Path, Path], tmp_path: Path) -> None:
    largest = 0.005
    difference = run(scene, tmp_path, RandomOffsets(largest)) - run(scene, tmp_path, identity)
    spread = np.nanmax(difference) - np.nanmin(difference)
    assert spread > 2.0  # metres: the offsets are really there
    # Two neighbours differ by the whole spread at most, and the taper is what takes one to the other.
    steepest = np.abs(np.diff(Lattice.of_share(WINDOW, OVERLAP).weights)).max()
    for axis in (0, 1):
        step = np.nanmax(np.abs(np.diff(difference, axis=axis)))
        # 1.3: heights differ along the row as well as the offsets do, and where four windows meet both axes taper.
        assert step < 1.3 * spread * steepest


def test_the_border_of_a_window_has_no_weight(scene: tuple[Path, Path], tmp_path: Path) -> None:
    def spoilt(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        out = torch.full_like(dem, 5.0)
        out[..., 6:-6, 6:-6] = dem[..., 6:-6, 6:-6]
        return out

    assert np.array_equal(run(scene, tmp_path, spoilt), run(scene, tmp_path, identity), equal_nan=True)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_batches_do_not_show(scene: tuple[Path, Path], tmp_path: Path, batch: int) -> None:
    whole = run(scene, tmp_path, network(), batch_size=4)
    other = run(scene, tmp_path, network(), batch_size=batch)
    tolerance = 2e-5 * (whole - np.nanmin(whole) + 80)
    assert (np.abs(other - whole) <= tolerance)[~np.isnan(whole)].all()


def test_a_network_in_training_mode_is_put_right(scene: tuple[Path, Path], tmp_path: Path) -> None:
    """Its batch statistics would make a window depend on the others of its batch."""
    expected = run(scene, tmp_path, network())
    assert np.array_equal(run(scene, tmp_path, network().train()), expected, equal_nan=True)


def test_two_areas_agree_where_they_meet(scene: tuple[Path, Path], tmp_path: Path) -> None:
    """Another area means other strips and other neighbours in a batch; the windows are the same."""
    whole = run(scene, tmp_path, network())
    with rasterio.open(tmp_path / "out.tif") as dataset:
        west, north = dataset.transform * (60, 50)
    part = run(scene, tmp_path, network(), bounds=(west, north - 600, west + 600, north))
    assert part.shape == (75, 75)
    inner = whole[50:125, 60:135]
    assert not np.isnan(inner).any()
    assert np.abs(part - inner).max() <= 2e-5 * 80


def test_blocks_of_alignment_do_not_show(
    scene: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(scene, tmp_path, network())
    monkeypatch.setattr(align, "MAX_BLOCK", 37)
    cut = run(scene, tmp_path, network())
    assert np.abs(cut - whole)[~np.isnan(whole)].max() <= 2e-5 * 80


def test_plus_one(scene: tuple[Path, Path], tmp_path: Path) -> None:
    """A metre more on every height comes out as a metre more, whatever window it came through."""
    scale = 1009.0

    def plus_one(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        log = torch.log(torch.tensor(scale, dtype=torch.float64))
        return ((dem.double() * log).exp() + 1).log().div(log).float()

    difference = run(scene, tmp_path, plus_one) - run(scene, tmp_path, identity)
    assert difference[~np.isnan(difference)] == pytest.approx(1, abs=2e-3)
