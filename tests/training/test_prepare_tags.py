"""What prepared samples say of themselves: version, inputs, licences, vertical datums; and what weights inherit."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from pyproj import datadir

from jspsr_cli import __version__
from jspsr_cli.errors import InvalidOption, OtherWork, UnknownDatum
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.prepare import prepare
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.request import PrepareOptions
from jspsr_cli.training.results import PrepareReport
from tests.geoids import EGM2008, GEOIDS, write_geoid
from tests.scenes import centres, heights_of
from tests.training.prepared import WEST, Scene, ids, layer, plane, tags_of


def tag(path: Path, **tags: str) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)


def test_layers_say_what_they_are_made_of(scene: Scene, tmp_path: Path) -> None:
    ground = scene.terrain()
    half = ground.shape[1] // 2
    west = scene.write("west", ground[:, :half], 2)
    east = scene.write("east", ground[:, half:], 2, west=WEST + 2 * half)
    tag(east, JSPSR_LICENCE="Licence Ouverte 2.0", TIFFTAG_COPYRIGHT="IGN 2024")
    out = tmp_path / "set"
    scene.run(out, terrain=[west, east], valid_share=0, voids=0.25)
    here = {name: tags_of(layer(out, "e1951n20333", name)) for name in ("RGEALTI", "COP30", "BDORTHO", "UA2012", "CHM")}
    for tags in here.values():
        assert tags["TIFFTAG_SOFTWARE"] == f"jspsr {__version__}"
        assert tags["JSPSR_VERSION"] == __version__
        assert json.loads(tags["JSPSR_OPTIONS"]) == {"resolution": 8, "voids": 0.25}
    named = {name: {k: v for k, v in tags.items() if k.startswith("JSPSR_INPUT")} for name, tags in here.items()}
    assert named == {
        "RGEALTI": {"JSPSR_INPUT_TERRAIN": '["west.tif"]'},  # the other one is elsewhere
        "COP30": {"JSPSR_INPUT_DEM": '["cop30.tif"]'},
        "BDORTHO": {"JSPSR_INPUT_IMAGE": '["ortho.tif"]'},
        "UA2012": {"JSPSR_INPUT_MASK": '["use.tif"]'},
        "CHM": {"JSPSR_INPUT_CANOPY": '["chm.tif"]'},
    }
    assert here["COP30"]["JSPSR_LICENCE"] == "Copernicus DEM: free of charge, with attribution"
    assert here["COP30"]["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
    assert not {"JSPSR_LICENCE", "JSPSR_ATTRIBUTION", "JSPSR_VERTICAL_DATUM"} & here["RGEALTI"].keys()
    middle, there = (tags_of(layer(out, id_, "RGEALTI")) for id_ in ("e1953n20333", "e1955n20333"))
    assert middle["JSPSR_INPUT_TERRAIN"] == '["west.tif", "east.tif"]'
    assert there["JSPSR_INPUT_TERRAIN"] == '["east.tif"]'
    assert (there["JSPSR_LICENCE"], there["JSPSR_ATTRIBUTION"]) == ("Licence Ouverte 2.0", "IGN 2024")


def config_of(report: PrepareReport) -> TrainingConfig:
    return read_config(str(report.config))[0]


def test_weights_inherit_what_the_layers_say_that_they_are_trained_on(scene: Scene, tmp_path: Path) -> None:
    tag(scene.files["canopy"][0], JSPSR_LICENCE="CC BY 4.0")
    tag(scene.files["terrain"][0], JSPSR_LICENCE="Licence Ouverte 2.0")
    bare = shutil.copy(scene.files["dem"][0], tmp_path / "n47.tif")
    both = config_of(scene.run(tmp_path / "both", fabdem=[bare]))
    assert both.licence == "Licence Ouverte 2.0 | Copernicus DEM: free of charge, with attribution"
    path = layer(tmp_path / "both", "e1951n20332", "FABDEM")
    assert tags_of(path)["JSPSR_LICENCE"] == "CC BY-NC-SA 4.0, inherited from FABDEM"
    inherited = config_of(scene.run(tmp_path / "bare", dem=[], fabdem=[bare], image=[], mask=[]))
    assert inherited.licence == "Licence Ouverte 2.0 | CC BY-NC-SA 4.0, inherited from FABDEM | CC BY 4.0"
    named = tmp_path / "N47E003_FABDEM_V1-2.tif"
    shutil.copy(bare, named)
    scene.run(tmp_path / "named", dem=[], fabdem=[named])
    licence = tags_of(layer(tmp_path / "named", "e1951n20332", "FABDEM"))["JSPSR_LICENCE"]
    assert licence == "FABDEM: CC BY-NC-SA 4.0: what is derived from it inherits that"


def test_vertical_datums(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert "terrain not stated, DEM EGM2008 height (EPSG:3855)" in scene.run(out).warnings[0]
    with pytest.raises(OtherWork, match=r"the datums was terrain not stated, .* and is terrain EGM2008 height"):
        scene.run(out, terrain_datum="EPSG:3855")
    same = scene.run(out, terrain_datum="EPSG:3855", restart=True)
    assert not [text for text in same.warnings if "--match-datum" in text]
    assert tags_of(layer(out, "e1951n20332", "RGEALTI"))["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
    apart = scene.run(out, terrain_datum="EPSG:5703", restart=True)
    assert "in NAVD88 height (EPSG:5703) and the DEM in" in apart.warnings[0]
    with pytest.raises(UnknownDatum, match=r"dtm.tif does not say .*: --terrain-datum"):
        scene.run(out, match_datum=True)


def test_refusals_name_the_options_of_prepare(scene: Scene, tmp_path: Path) -> None:
    for text, said in (("EPSG:4326", "WGS 84 has no heights"), ("EPSG:5715", "MSL depth counts depths downwards")):
        with pytest.raises(InvalidOption, match=f"{said}: --terrain-datum takes"):
            scene.run(tmp_path / "set", terrain_datum=text)
    halves = [scene.write(name, scene.terrain(), 2) for name in ("one", "other")]
    tag(halves[0], JSPSR_VERTICAL_DATUM="EGM2008 height (EPSG:3855)")
    with pytest.raises(UnknownDatum, match=r"other.tif does not say .*, so --match-datum cannot change it"):
        scene.run(tmp_path / "set", terrain=halves, match_datum=True)
    tag(halves[1], JSPSR_VERTICAL_DATUM="NAVD88 height (EPSG:5703)")
    with pytest.raises(UnknownDatum, match=r"With --match-datum the terrain has .*: heights of the terrain are in"):
        scene.run(tmp_path / "set", terrain=halves, match_datum=True)


@pytest.fixture
def geoid(tmp_path: Path) -> Iterator[None]:
    """PROJ finds a grid of EGM2008."""
    (tmp_path / "grids").mkdir()
    write_geoid(tmp_path / "grids" / EGM2008)
    before = datadir.get_data_dir()
    datadir.set_data_dir(f"{before}{os.pathsep}{tmp_path / 'grids'}")
    yield
    datadir.set_data_dir(before)


@pytest.mark.usefixtures("geoid")
def test_datums_are_matched_in_one_crs_only(source: Path, tmp_path: Path) -> None:
    for path in source.glob("*/*/*.tif"):
        middle = 3.4 if path.name.startswith("2_") else 3.3
        with rasterio.open(path, "r+") as dataset:  # the grid is of this region
            dataset.crs = f"+proj=tmerc +lat_0=47 +lon_0={middle} +x_0=4e5 +y_0=67e5 +ellps=GRS80 +units=m"
    options = PrepareOptions(terrain_datum="EPSG:4979", match_datum=True)
    report = prepare(tmp_path / "matched", source=source, options=options)
    assert (report.kept, report.left_out) == (3, {"bad file": 1})
    assert "2_RGEALTI.tif is in another CRS than the first sample: prepare it apart" in report.bad_files[0]
    assert prepare(tmp_path / "as they are", source=source).kept == 4


@pytest.mark.usefixtures("geoid")
def test_the_terrain_comes_to_the_datum_of_the_dem(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    report = scene.run(out, terrain_datum="EPSG:4979", match_datum=True, valid_share=0)
    assert report.kept == 10
    assert report.datums.startswith("terrain WGS 84 ellipsoidal height (EPSG:4979), DEM EGM2008 height (EPSG:3855), ")
    tags = tags_of(layer(out, "e1951n20332", "RGEALTI"))
    assert tags["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
    assert "EGM2008" in tags["JSPSR_VERTICAL_OPERATION"]
    for id_ in ids(out, "Here"):
        path = layer(out, id_, "RGEALTI")
        x, y, crs = centres(path)
        lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
        np.testing.assert_allclose(heights_of(path), plane(x, y) - GEOIDS[EGM2008](lon, lat), atol=1e-3)
