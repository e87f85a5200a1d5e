"""Every usual mistake gets its sentence and exit code 2, and nothing is written."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from click.testing import Result
from rasterio.errors import NotGeoreferencedWarning

from tests.scenes import cop30, write_raster
from tests.test_enhance_command import CRS, Scene, invoke, save_weights

FEET = "EPSG:2263"

#: Longer than this nobody reads; the folders of a test alone take 150.
LONGEST = 600


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def scene(tmp_path: Path, weights: dict[str, Path]) -> Scene:
    return Scene(tmp_path, weights)


def file(scene: Scene, name: str, content: bytes = b"not what it should be\n" * 20) -> Path:
    path = scene.folder / name
    path.write_bytes(content)
    return path


def far(scene: Scene) -> Path:
    return cop30(scene.folder / "far.tif", lon=20.0, lat=45.0, size=20)


def truncated_header(scene: Scene) -> Path:
    return file(scene, "cut.tif", scene.guide.read_bytes()[:60])


def without_place(scene: Scene) -> Path:
    values = np.zeros((3, 20, 20), dtype=np.uint8)
    with pytest.warns(NotGeoreferencedWarning):
        return write_raster(scene.folder / "placeless.tif", values, crs=CRS, transform=Affine.identity())


def polygon(scene: Scene, lon: float, lat: float, kind: str = "Polygon") -> Path:
    ring = [[lon, lat], [lon + 0.001, lat], [lon, lat + 0.001], [lon, lat]]
    shape = {"type": kind, "coordinates": [ring] if kind == "Polygon" else ring}
    return file(scene, "area.geojson", json.dumps(shape).encode())


def polygon_without_crs(scene: Scene) -> Path:
    import pyogrio
    import shapely

    shapes = np.array([shapely.to_wkb(shapely.box(0, 0, 1, 1))], dtype=object)
    path = scene.folder / "area.shp"
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.raw.write(path, shapes, [], [], geometry_type="Polygon")
    return path


def elsewhere(scene: Scene) -> Path:
    values = np.zeros((5, 5), dtype=np.uint8)
    return write_raster(scene.folder / "like.tif", values, crs=CRS, transform=Affine(8, 0, 0, 0, -8, 0))


def occupied(scene: Scene, content: bytes = b"a file of the user") -> Path:
    return file(scene, "out.tif", content)


def own_weights(scene: Scene) -> Path:
    return Path(shutil.copy(scene.weights["image"], scene.folder / "mine.safetensors"))


class Mistake(NamedTuple):
    """What is asked of a scene, and what the sentence must tell."""

    arguments: Callable[[Scene], list[str]]
    sentence: str


MISTAKES = {
    # inputs that are not there, or not what they should be
    "DEM missing": Mistake(lambda s: s.arguments(dem=s.folder / "none.tif"), "none.tif.*No such file"),
    "DEM empty": Mistake(lambda s: s.arguments(dem=file(s, "e.tif", b"")), "e.tif.*empty"),
    "guide empty": Mistake(lambda s: s.arguments(guide=file(s, "e.tif", b"")), "e.tif.*empty"),
    "DEM is text": Mistake(lambda s: s.arguments(dem=file(s, "notes.txt")), "notes.txt cannot be read as a raster"),
    "guide is a folder": Mistake(lambda s: s.arguments(guide=s.folder), "cannot be read as a raster"),
    "guide cut off": Mistake(lambda s: s.arguments(guide=truncated_header(s)), "cut.tif cannot be read as a raster"),
    "DEM without CRS": Mistake(lambda s: s.arguments(dem=s.raster("d.tif", crs=None)), "d.tif has no CRS: assign"),
    "guide without CRS": Mistake(
        lambda s: s.arguments(guide=s.raster("g.tif", bands=3, crs=None)), "g.tif has no CRS: assign"
    ),
    "guide without place": Mistake(lambda s: s.arguments(guide=without_place(s)), "placeless.tif.*(CRS|georef)"),
    "DEM of three bands": Mistake(lambda s: s.arguments(dem=s.guide), "guide.tif has 3 bands.*has one"),
    "guide of one band": Mistake(lambda s: s.arguments(guide=s.raster("g.tif")), "g.tif has 1 band.*red, green"),
    "guide of two bands": Mistake(lambda s: s.arguments(guide=s.raster("g.tif", bands=2)), "g.tif has 2 bands"),
    "guide bands apart": Mistake(
        lambda s: s.arguments("--guide", s.raster("g.tif"), "--guide", s.raster("b.tif"), guide=far(s)), "same pixels"
    ),
    "canopy of two bands": Mistake(
        lambda s: s.arguments("--canopy", s.raster("c.tif", bands=2), guide=None), "c.tif has 2 bands.*canopy"
    ),
    "land use of two bands": Mistake(
        lambda s: s.arguments("--mask", s.raster("m.tif", bands=2), guide=None), "m.tif has 2 bands.*15 bands"
    ),
    "a band that is not there": Mistake(lambda s: s.arguments("--guide-bands", "1,2,4"), "guide.tif has bands 1 to 3"),
    "two bands chosen": Mistake(lambda s: s.arguments("--guide-bands", "1,2"), "--guide-bands takes three"),
    # place
    "guide elsewhere": Mistake(lambda s: s.arguments(dem=far(s)), "far.tif and guide.tif do not overlap"),
    "second DEM has no CRS": Mistake(
        lambda s: [*s.arguments(), str(s.raster("d.tif", crs=None))], "d.tif has no CRS: assign"
    ),
    "bounds elsewhere": Mistake(lambda s: s.arguments("--bounds", "20,45,21,46"), "lies off dem.tif: check --bounds"),
    "bounds reversed": Mistake(lambda s: s.arguments("--bounds", "10,45,9,46"), "west.*not less than east"),
    "polygon elsewhere": Mistake(lambda s: s.arguments("--geometry", polygon(s, 20, 45)), "lies off dem.tif"),
    "polygon at the antipodes": Mistake(lambda s: s.arguments("--geometry", polygon(s, -170.9, -45)), "dem.tif"),
    "no polygon": Mistake(lambda s: s.arguments("--geometry", polygon(s, 9, 45, "LineString")), "holds no polygon"),
    "polygons are text": Mistake(lambda s: s.arguments("--geometry", file(s, "a.txt")), "a.txt cannot be read"),
    "polygons are a raster": Mistake(lambda s: s.arguments("--geometry", s.dem), "dem.tif cannot be read as a vector"),
    "polygons without CRS": Mistake(lambda s: s.arguments("--geometry", polygon_without_crs(s)), "area.shp has no CRS"),
    "like elsewhere": Mistake(lambda s: s.arguments("--like", elsewhere(s)), "lies off dem.tif.*--like"),
    "like in degrees": Mistake(lambda s: s.arguments("--like", s.dem), "EPSG:4326 is not projected in metres"),
    "like with bounds": Mistake(
        lambda s: s.arguments("--like", s.guide, "--bounds", "9,45,9.1,45.1"), "leave --crs and --bounds away"
    ),
    "like with CRS": Mistake(lambda s: s.arguments("--like", s.guide, "--crs", CRS), "leave --crs and --bounds away"),
    "CRS in degrees": Mistake(lambda s: s.arguments("--crs", "4326"), "EPSG:4326 is not projected in metres"),
    "CRS in feet": Mistake(lambda s: s.arguments("--crs", FEET), f"{FEET} is not projected in metres"),
    "CRS unknown": Mistake(lambda s: s.arguments("--crs", "EPSG:999999"), "not a coordinate reference system"),
    "resolution zero": Mistake(lambda s: s.arguments("--resolution", "0"), "above 0"),
    "resolution next to zero": Mistake(lambda s: s.arguments("--resolution", "1e-308"), "resolution"),
    "resolution of a continent": Mistake(lambda s: s.arguments("--resolution", "1e7"), "resolution"),
    # weights
    "no weights": Mistake(lambda s: s.arguments(weights=None), "--weights; 'jspsr weights list'"),
    "weights unknown": Mistake(lambda s: s.arguments(weights="jspsr-9m"), "jspsr-9m.*jspsr-8m-image"),
    "weights are text": Mistake(lambda s: s.arguments(weights=file(s, "w.pt")), "w.pt is neither"),
    "no guide": Mistake(lambda s: s.arguments(guide=None), "no guide: give --guide, --canopy or --mask"),
    "weights want a canopy": Mistake(
        lambda s: s.arguments(weights=s.weights["canopy"]), "canopy were trained with --canopy, not with --guide"
    ),
    "weights want no canopy": Mistake(
        lambda s: s.arguments("--canopy", s.raster("c.tif")), "trained with --guide, not with --guide and --canopy"
    ),
    # the output
    "output is the DEM": Mistake(lambda s: s.arguments(output=s.dem), "dem.tif is one of the inputs"),
    "output is the guide": Mistake(lambda s: s.arguments("--overwrite", output=s.guide), "guide.tif is one of the"),
    "output is the guide, said otherwise": Mistake(
        lambda s: s.arguments("--overwrite", output=s.folder / ".." / s.folder.name / "guide.tif"), "one of the inputs"
    ),
    "output is the weights": Mistake(
        lambda s: s.arguments("--overwrite", weights=own_weights(s), output=own_weights(s)), "mine.safetensors"
    ),
    "output is the polygon": Mistake(
        lambda s: s.arguments("--overwrite", "--geometry", polygon(s, 9.1, 45), output=polygon(s, 9.1, 45)),
        "area.geojson",
    ),
    "output exists": Mistake(lambda s: s.arguments(output=occupied(s)), "out.tif exists.*--overwrite"),
    "output is a folder": Mistake(lambda s: s.arguments(output=s.folder), "is a directory"),
    "output in no folder": Mistake(lambda s: s.arguments(output=s.folder / "none" / "o.tif"), "none does not exist"),
    "output in a file": Mistake(lambda s: s.arguments(output=s.dem / "o.tif"), "dem.tif does not exist|not a folder"),
    # how it runs
    "device unknown": Mistake(lambda s: s.arguments("--device", "tpu"), "'tpu' is not one of auto"),
    "device missing": Mistake(lambda s: s.arguments("--device", "cuda:99"), "'cuda:99' is not on this machine.*auto"),
    "precision of GPUs": Mistake(lambda s: s.arguments("--device", "cpu", "--precision", "float16"), "not for CPUs"),
    "window odd": Mistake(lambda s: s.arguments("--window", "100"), "'100' is not a multiple of 8"),
    "overlap too small": Mistake(lambda s: s.arguments("--overlap", "0.01"), "cannot be blended: choose an overlap"),
    "stretch of nothing": Mistake(lambda s: s.arguments("--stretch", "5,5"), "not less than HI"),
}
if not torch.backends.mps.is_available():
    MISTAKES["device of Apple"] = Mistake(
        lambda s: s.arguments("--device", "mps"), "'mps' is not on this machine.*auto"
    )


def check(done: Result, sentence: str) -> None:
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(sentence, last)
    assert "bug" not in last
    assert "Traceback" not in done.stderr
    assert len(last) < LONGEST


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(scene: Scene, name: str) -> None:
    arguments = MISTAKES[name].arguments(scene)
    before = scene.listing()
    check(invoke(arguments), MISTAKES[name].sentence)
    assert scene.listing() == before


def test_read_only_folder(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scene.folder / "read-only"
    folder.mkdir(mode=0o555)
    if os.geteuid() == 0:  # nothing is read-only to the administrator
        monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == folder))
    check(invoke(scene.arguments(output=folder / "out.tif")), "read-only")
    assert list(folder.iterdir()) == []


def test_an_input_that_breaks_off_is_a_failure(scene: Scene) -> None:
    content = scene.guide.read_bytes()
    scene.guide.write_bytes(content[: len(content) // 2])
    before = scene.listing()
    done = invoke(scene.arguments())
    assert (done.exit_code, done.stdout) == (1, "")
    assert "guide.tif broke off" in done.stderr
    assert "See previous exception" not in done.stderr
    assert scene.listing() == before


def test_an_output_without_a_single_height_is_not_silent(scene: Scene) -> None:
    """A guide whose pixels are all transparent covers the ground and says nothing of it."""
    with rasterio.open(scene.guide, "r+") as dataset:
        dataset.nodata = 0
        dataset.write(np.zeros((3, *dataset.shape), dtype=np.uint8))
    done = invoke(scene.arguments("-q"))
    assert done.exit_code != 0 or "no data" in done.stderr
