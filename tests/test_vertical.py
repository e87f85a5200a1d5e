"""Heights in another vertical datum: geoids in closed form, seen through the whole of `enhance`."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from pyproj import CRS, datadir, network

from jspsr_cli.errors import JspsrError, MissingDatumGrid, NoOverlap, OutputExists, UnknownDatum
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.grid import Extent, Grid, snapped_grid
from jspsr_cli.raster.vertical import VerticalTransform, parse_datum, vertical_transform
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from tests.geoids import EGM96, EGM2008, GEOIDS, LAT, LON, OWN, OWN_CRS, write_geoid
from tests.scenes import Array, bicubic, centres, cop30, guide_over, heights_of, identity, weights_info

MILLIMETRE = 1e-3
UTM = "EPSG:32631"

#: A name by which COP30 is known, and with it the datum of its heights: EGM2008.
COPERNICUS = "Copernicus_DSM_COG_10_N47_00_E003_00_DEM.tif"


def allow_network(active: bool | None) -> None:
    network.set_network_enabled(active)  # type: ignore[attr-defined]  # not exported explicitly


@pytest.fixture(autouse=True)
def grids(tmp_path: Path) -> Iterator[Path]:
    """PROJ's data, and geoids beside them in a folder of the test."""
    folder, before = tmp_path / "grids", datadir.get_data_dir()
    folder.mkdir()
    for name in GEOIDS:
        write_geoid(folder / name)
    datadir.set_data_dir(f"{before}{os.pathsep}{folder}")
    allow_network(False)
    yield folder
    datadir.set_data_dir(before)
    allow_network(None)  # as the environment says


def dem_in(folder: Path, *, name: str = "dem.tif", crs: str = "EPSG:4326") -> Path:
    path = cop30(folder / name, lon=LON, lat=LAT, size=30)
    with rasterio.open(path, "r+") as dataset:
        dataset.crs = crs
    return path


def run(dem: Path | list[Path], vertical_crs: str | None, **choices: Any) -> EnhanceReport:
    """Enhance with the identity into `out.tif` beside the DEM, in UTM unless `crs` is among the choices."""
    first = dem[0] if isinstance(dem, list) else dem
    folder, crs = first.parent, CRS(choices.get("crs", UTM))
    flat = crs.sub_crs_list[0] if crs.is_compound else crs
    guide = folder / "guide.tif"
    if not guide.exists():
        guide_over(guide, first, crs=flat.to_string(), resolution=8)
    network, output = choices.pop("network", identity), choices.pop("output", folder / "out.tif")
    options = EnhanceOptions(**{"vertical_crs": vertical_crs, "water": "network", **choices})
    return enhance(dem, output=output, image=[guide], weights=(network, weights_info("image")), options=options)


def shift_of(output: Path, *, up: str | None, down: str | None) -> Array:
    """Metres that go on heights at the pixels of `output`: up from one geoid, down to another."""
    x, y, crs = centres(output)
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return sum((sign * GEOIDS[name](lon, lat) for sign, name in ((1, up), (-1, down)) if name), np.zeros(x.shape))


def error_of(output: Path, dem: Path, *, up: str | None, down: str | None) -> float:
    """Largest distance in metres from the exactly warped bicubic DEM in the datum asked for."""
    difference = np.abs(heights_of(output) - bicubic(dem, *centres(output)) - shift_of(output, up=up, down=down))
    assert not np.isnan(difference[1:-1, 1:-1]).any()
    return float(np.nanmax(difference))


def tags_of(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
        return tags


# Heights

WAYS: dict[str, tuple[str, str, str | None, str | None]] = {
    "geoid to ellipsoid": ("EPSG:4326+3855", "EPSG:4979", EGM2008, None),
    "ellipsoid to geoid": ("EPSG:4979", "EPSG:3855", None, EGM2008),
    "geoid to geoid": ("EPSG:4326+3855", "EPSG:4326+5773", EGM2008, EGM96),
    "and back": ("EPSG:4326+5773", "EPSG:3855", EGM96, EGM2008),
    "a geoid of one's own": ("EPSG:4326+3855", OWN_CRS, EGM2008, OWN),
}


@pytest.mark.parametrize("way", WAYS)
def test_heights_in_another_datum(tmp_path: Path, way: str) -> None:
    crs, wanted, up, down = WAYS[way]
    dem = dem_in(tmp_path, crs=crs)
    run(dem, wanted)
    assert error_of(tmp_path / "out.tif", dem, up=up, down=down) < MILLIMETRE


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:3035", "+proj=utm +zone=31 +ellps=GRS80", f"{UTM}+5773"])
def test_heights_in_any_projection(tmp_path: Path, crs: str) -> None:
    """Also of an ellipsoid without a datum; and a vertical part of --crs asks for nothing."""
    dem = dem_in(tmp_path, name=COPERNICUS)
    run(dem, "EPSG:5773", crs=crs)
    assert error_of(tmp_path / "out.tif", dem, up=EGM2008, down=EGM96) < MILLIMETRE


def test_nothing_is_transformed_that_was_not_asked_for(tmp_path: Path) -> None:
    dem = dem_in(tmp_path, crs="EPSG:4326+3855")
    report = run(dem, None, crs=f"{UTM}+5773")
    assert error_of(tmp_path / "out.tif", dem, up=None, down=None) < MILLIMETRE
    assert report.vertical_datum == "EGM2008 height (EPSG:3855)"


def transform_to(grid: Grid, target: str) -> VerticalTransform:
    extent = Extent(grid.crs, grid.bounds, "dem.tif")
    found = vertical_transform(parse_datum("EPSG:4326+3855"), parse_datum(target), grid=grid, extent=extent)
    assert found
    return found


@pytest.fixture
def grid() -> Grid:
    x, y = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(LON, LAT)
    return snapped_grid(rasterio.crs.CRS.from_string(UTM), 8, (x, y, x + 400, y + 200))


@pytest.mark.parametrize("rows", [1, 7, 25])
def test_the_cut_does_not_matter(grid: Grid, rows: int) -> None:
    heights = np.random.default_rng(3).uniform(-400, 8800, (grid.height, grid.width)).astype(np.float32)
    heights[3, :20] = heights[9] = np.nan
    change = transform_to(grid, "EPSG:5773")
    whole = change.applied(heights, row=0)
    pieces = [change.applied(heights[top : top + rows], row=top) for top in range(0, grid.height, rows)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(heights))
    assert whole.dtype == np.float32


# Grids of PROJ


def test_where_a_grid_ends_there_is_no_data(tmp_path: Path, grids: Path) -> None:
    write_geoid(grids / EGM96, east=0.0)
    dem = dem_in(tmp_path, name=COPERNICUS)
    report = run(dem, "EPSG:5773", guide_gaps="dem")
    x, y, crs = centres(tmp_path / "out.tif")
    lon, _ = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    heights = heights_of(tmp_path / "out.tif")
    expected = bicubic(dem, x, y, crs) + shift_of(tmp_path / "out.tif", up=EGM2008, down=EGM96)
    assert np.isnan(heights[lon > LON + 1e-6]).all()
    np.testing.assert_allclose(heights[lon < LON - 1e-6], expected[lon < LON - 1e-6], atol=MILLIMETRE, rtol=0)
    lost = int(np.isnan(heights).sum())
    assert 0 < report.pixels_beyond_datum == lost < heights.size
    assert report.pixels_written == heights.size - lost
    assert any(str(lost) in warning and "--vertical-crs" in warning for warning in report.warnings)


def no_egm2008(grids: Path) -> None:
    (grids / EGM2008).unlink()


def no_geoid(grids: Path) -> None:
    no_egm2008(grids)
    (grids / EGM96).unlink()


def geoid_elsewhere(grids: Path) -> None:
    write_geoid(grids / EGM96, east=-0.5)


def unreachable(grids: Path) -> None:
    no_egm2008(grids)
    allow_network(True)


def second_best(grids: Path) -> None:
    """France's geoid of 2020, while PROJ would take that of 2018."""
    (grids / EGM96).rename(grids / "fr_ign_RAF20.tif")


def second_best_alone(grids: Path) -> None:
    second_best(grids)
    no_egm2008(grids)


REFUSED: dict[str, tuple[Callable[[Path], None], str, type[JspsrError], str]] = {
    "one grid missing": (
        no_egm2008,
        "EPSG:5773",
        MissingDatumGrid,
        rf"need {EGM2008}, which PROJ does not find: fetch with pyproj sync --file {EGM2008}, or set PROJ_NETWORK=ON",
    ),
    "two grids missing": (
        no_geoid,
        "EPSG:5773",
        MissingDatumGrid,
        f"{EGM2008} and {EGM96}.*--file {EGM2008} and .*--file {EGM96}",
    ),
    "the best grid missing": (second_best, "EPSG:5720", MissingDatumGrid, r"need fr_ign_RAF18\.tif, which"),
    "the best grids missing": (second_best_alone, "EPSG:5720", MissingDatumGrid, rf"fr_ign_RAF18\.tif and {EGM2008}"),
    "a grid of elsewhere": (geoid_elsewhere, "EPSG:5773", NoOverlap, "grids for EGM96 height.*do not reach the area"),
    "a grid out of reach": (unreachable, "EPSG:5773", MissingDatumGrid, "EGM96 height.*Network error"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_without_its_grid_it_is_an_error_before_the_work(
    tmp_path: Path, grids: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spoil, wanted, error, sentence = REFUSED[name]
    monkeypatch.setenv("PROJ_NETWORK_ENDPOINT", "http://127.0.0.1:9")  # the port that discards
    spoil(grids)
    with pytest.raises(error, match=sentence) as raised:
        run(dem_in(tmp_path, name=COPERNICUS), wanted)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "out.tif").exists()


def test_a_grid_of_ones_own_that_is_missing_is_named(tmp_path: Path, grids: Path) -> None:
    (grids / OWN).unlink()
    with pytest.raises(MissingDatumGrid, match=rf"need {OWN}, which PROJ does not find: put it into "):
        run(dem_in(tmp_path, name=COPERNICUS), OWN_CRS)


# Which datum


def test_output_says_its_datum_and_is_understood_as_input(tmp_path: Path) -> None:
    dem = dem_in(tmp_path, name=COPERNICUS)
    report = run(dem, "EPSG:5773", output=tmp_path / "first.tif")
    tags = tags_of(tmp_path / "first.tif")
    assert tags["JSPSR_VERTICAL_DATUM"] == report.vertical_datum == "EGM96 height (EPSG:5773)"
    assert "WGS 84 to EGM96 height" in tags["JSPSR_VERTICAL_OPERATION"]
    assert json.loads(tags["JSPSR_OPTIONS"])["vertical_crs"] == "EGM96 height (EPSG:5773)"
    run(tmp_path / "first.tif", "EPSG:3855", output=tmp_path / "second.tif")
    assert tags_of(tmp_path / "second.tif")["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
    assert error_of(tmp_path / "second.tif", dem, up=None, down=None) < MILLIMETRE
    run(tmp_path / "first.tif", None, output=tmp_path / "third.tif")
    assert tags_of(tmp_path / "third.tif")["JSPSR_VERTICAL_DATUM"] == "EGM96 height (EPSG:5773)"


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the network was called")


@pytest.mark.parametrize("same", ["EPSG:3855", "EPSG:4326+3855", "EPSG:9518", CRS("EPSG:3855").to_wkt()])
def test_the_datum_that_it_has_already_is_no_change(tmp_path: Path, grids: Path, same: str) -> None:
    no_geoid(grids)
    dem = dem_in(tmp_path, name=COPERNICUS)
    run(dem, None)
    assert run(dem, same, network=never).already_done


def test_made_once_for_each_datum(tmp_path: Path) -> None:
    dem = dem_in(tmp_path, name=COPERNICUS)
    run(dem, "EPSG:5773")
    assert run(dem, "EPSG:9707", network=never).already_done
    for other in (None, "EPSG:4979"):
        with pytest.raises(OutputExists, match="--overwrite"):
            run(dem, other, network=never)


def test_a_dem_in_several_datums(tmp_path: Path) -> None:
    tiles = [dem_in(tmp_path, name=COPERNICUS), dem_in(tmp_path, name="old.tif", crs="EPSG:4326+5773")]
    with pytest.raises(UnknownDatum, match=rf"{COPERNICUS} in EGM2008.*old\.tif in EGM96"):
        run(tiles, "EPSG:4979")
    report = run(tiles, None)
    assert any("several vertical datums" in warning for warning in report.warnings)
    assert report.vertical_datum == "EGM2008 height (EPSG:3855) | EGM96 height (EPSG:5773)"
