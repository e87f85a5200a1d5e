"""What of a training set is left out, validated on, or beyond the network, and the training file for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.samples import SamplePixels
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.ground import CHANGED, FLAT, unsuitable
from jspsr_cli.training.journal import Record
from jspsr_cli.training.limits import Beyond, count_beyond
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.results import PlaceResult
from jspsr_cli.training.schedule import learning_rates
from jspsr_cli.training.split import split
from jspsr_cli.training.writing import write_config
from tests.training.prepared import UTM


@pytest.mark.parametrize(
    ("above", "use", "reason"),
    [
        (3, None, None),
        (40, None, None),  # a forest, or houses
        (40, 10, None),
        (40, 7, CHANGED),  # on a pasture
        (70, None, CHANGED),
        (-20, None, CHANGED),
        (-5, None, None),
    ],
)
def test_ground_that_changed(above: float, use: int | None, reason: str | None) -> None:
    grid = Grid(rasterio.CRS.from_string(UTM), Affine(8, 0, 0, 0, -8, 0), 64, 64)
    truth = np.tile(np.arange(64, dtype=np.float32), (1, 64, 1))
    dem = truth.copy()
    dem[0, :20, :20] += above
    pixels = {"RGEALTI": truth, "COP30": dem} | ({} if use is None else {"UA2012": np.full((1, 64, 64), float(use))})
    found = unsuitable(pixels, grid, dem="COP30")
    assert (found and found[0]) == reason
    dem[0] = truth[0]
    dem[0, :8, :8] += above  # 1.6 % of the sample
    assert unsuitable(pixels, grid, dem="COP30") is None


def test_slopes_explain_more_and_the_sea_is_no_land() -> None:
    grid = Grid(rasterio.CRS.from_string(UTM), Affine(8, 0, 0, 0, -8, 0), 64, 64)
    steep = np.tile(8 * np.arange(64, dtype=np.float32), (1, 64, 1))  # 45 degrees
    assert unsuitable({"RGEALTI": steep, "COP30": steep - 20}, grid, dem="COP30") is None
    found = unsuitable({"RGEALTI": 0 * steep, "COP30": 0 * steep}, grid, dem="COP30")
    assert found
    assert found[0] == FLAT


def records(*cities: str, count: int = 10) -> list[Record]:
    return [Record(city=city, id=str(i), x=1.0 * (i % 5), y=10.0 * (i // 5)) for city in cities for i in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_the_split_is_one_end_of_the_longer_side(share: float) -> None:
    folders, validation = split(records("A"), share)
    north = [record.id for record in sorted(records("A"), key=lambda r: (r.y, r.x))]
    count = round(10 * share)
    assert [id_ for id_ in north if folders["A", id_] == "A_valid"] == north[10 - count :]
    assert validation == {"A_valid"}


def test_the_split_of_a_small_place_and_of_the_paper() -> None:
    assert set(split(records("A", count=2), 0.1)[0].values()) == {"A", "A_valid"}
    assert split(records("A", count=1), 0.4) == ({("A", "0"): "A"}, set())
    assert split(records("A", "Vannes"), None)[1] == {"Vannes"}
    assert split(records("Vannes"), None)[1] == {"Vannes_valid"}


def test_pixels_beyond_the_scale() -> None:
    dem = np.array([[[100, 1029], [1030, 500]]], dtype=np.float32)
    truth = np.array([[[20, 20.5], [900, 2000]]], dtype=np.float32)
    scale = HeightScale(-80, 929)
    pixels = SamplePixels(dem=dem, truth=truth, guides={}, others={})
    beyond = count_beyond(pixels, scale)
    # A height of exactly 80 m below the base has no logarithm.
    assert beyond == Beyond(canopy=0, high=2, low=1)
    assert np.isnan(scale.scale(dem, 100)).sum() == 0
    trees = replace(pixels, truth=np.full_like(truth, np.nan), guides={"canopy": np.array([[[68, 68.5], [0, 150]]])})
    assert count_beyond(trees, scale) + beyond == Beyond(canopy=2, high=3, low=1)
    assert Beyond().sentence is None
    assert Beyond(low=1200).sentence == (
        "beyond the network's range are 1,200 pixels of terrain below its heights (void): check the inputs"
    )


PLACE = PlaceResult(
    name="A", dataset="own", samples="own_8m", side=128, layers=("RGEALTI", "COP30", "CHM"), folders={},
    validation=("A_valid",), left_out={}, bad_files=(), omitted=(), rmse=None, bias=None, offset=None, relief=None,
    canopy=None, classes=(), beyond=Beyond(), datums="", licences={}, attributions={}, simulated=False,
)  # fmt: skip


@pytest.mark.parametrize(("crops", "batch"), [(3, 3), (5, 4), (31, 7), (32, 8), (1000, 70)])
def test_a_batch_is_never_of_one_sample_where_there_are_more(tmp_path: Path, crops: int, batch: int) -> None:
    path, warnings = write_config(tmp_path, [replace(PLACE, folders={"A": crops, "A_valid": 9})], resolution=8)
    assert read_config(str(path))[0].train_batch_size == batch
    assert bool(warnings) == (batch < 8)


@pytest.mark.parametrize(("side", "smaller"), [(40, True), (32, False)])
def test_a_smaller_size_is_advised_where_there_is_one(tmp_path: Path, side: int, smaller: bool) -> None:
    few = replace(PLACE, side=side, folders={"A": 5, "A_valid": 9})
    (warning,) = write_config(tmp_path, [few], resolution=8)[1]
    assert ("a smaller --size" in warning) == smaller


def test_without_samples_nothing_else_is_lacking(tmp_path: Path) -> None:
    path, warnings = write_config(tmp_path, [PLACE], resolution=8)
    assert path is None
    assert warnings == ("there is no config.yaml yet, for lack of samples: prepare another place",)


@pytest.mark.parametrize(("files", "dem"), [(8, None), (9, "FABDEM")])
def test_a_dem_that_some_samples_lack_is_not_trained_on(tmp_path: Path, files: int, dem: str | None) -> None:
    """COP30 and FABDEM beside a place with FABDEM only; the second DEM is dropped from samples where it is void."""
    both = replace(PLACE, layers=("RGEALTI", "COP30", "FABDEM", "CHM"), folders={"A": 9})
    one = replace(PLACE, name="B", layers=("RGEALTI", "FABDEM", "CHM"), folders={"B_valid": 9}, validation=("B_valid",))
    folder = tmp_path / "own_8m" / "A" / "FABDEM"
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"{number}_FABDEM.tif").touch()
    path, warnings = write_config(tmp_path, [both, one], resolution=8)
    assert (path and read_config(str(path))[0].dem) == dem
    assert (dem is None) == ("for lack of a DEM that all places have" in " ".join(warnings))


@pytest.mark.parametrize(("crops", "few"), [(499, True), (500, False)])
def test_the_training_file_of_a_small_set_averages_and_slows_down(tmp_path: Path, crops: int, few: bool) -> None:
    path, unsteady = write_config(tmp_path, [replace(PLACE, folders={"A": crops, "A_valid": 9})], resolution=8)
    config, warnings = read_config(str(path))
    assert warnings == unsteady == ()
    assert (config.ema is not None) == few
    rates = learning_rates(config)
    assert (rates[-1] < 1e-4 * max(rates)) == few
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert (f"# With so few crops ({crops})" in Path(str(path)).read_text()) == few
