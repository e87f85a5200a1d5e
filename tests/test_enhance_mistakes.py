"""Every usual mistake gets its sentence and exit code 2, and nothing is written."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from tests.mistakes import Mistake, check, check_mistake, far, file
from tests.scenes import damaged, guide_over, write_raster
from tests.test_enhance_command import CRS, Scene, invoke

FEET = "EPSG:2263"


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


def rotated(scene: Scene) -> Path:
    with rasterio.open(scene.guide) as dataset:
        place = dataset.transform * Affine.rotation(10)
    return write_raster(scene.folder / "like.tif", np.zeros((5, 5), dtype=np.uint8), crs=CRS, transform=place)


def with_unit(path: Path, unit: str) -> Path:
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_unit(1, unit)
    return path


def occupied(scene: Scene, content: bytes = b"a file of the user") -> Path:
    return file(scene, "out.tif", content)


def own_weights(scene: Scene) -> Path:
    return Path(shutil.copy(scene.weights["image"], scene.folder / "mine.safetensors"))


MISTAKES = {
    # place
    "guide elsewhere": Mistake(lambda s: s.arguments(dem=far(s)), "far.tif and guide.tif do not overlap"),
    "second DEM has no CRS": Mistake(
        lambda s: [*s.arguments(), str(s.raster("d.tif", crs=None))], "d.tif has no CRS: assign"
    ),
    "bounds elsewhere": Mistake(lambda s: s.arguments("--bounds", "20,45,21,46"), "lies off dem.tif: check --bounds"),
    "bounds that are no numbers": Mistake(lambda s: s.arguments("--bounds", "9,nan,10,46"), "not a finite number"),
    "bounds reversed": Mistake(lambda s: s.arguments("--bounds", "10,45,9,46"), "west.*not less than east"),
    "polygon elsewhere": Mistake(lambda s: s.arguments("--geometry", polygon(s, 20, 45)), "lies off dem.tif"),
    "polygon at the antipodes": Mistake(lambda s: s.arguments("--geometry", polygon(s, -170.9, -45)), "dem.tif"),
    "no polygon": Mistake(lambda s: s.arguments("--geometry", polygon(s, 9, 45, "LineString")), "holds no polygon"),
    "polygons are text": Mistake(lambda s: s.arguments("--geometry", file(s, "a.txt")), "a.txt cannot be read"),
    "polygons are a raster": Mistake(lambda s: s.arguments("--geometry", s.dem), "dem.tif cannot be read as a vector"),
    "polygons without CRS": Mistake(lambda s: s.arguments("--geometry", polygon_without_crs(s)), "area.shp has no CRS"),
    "like rotated": Mistake(lambda s: s.arguments("--like", rotated(s)), "north-up, neither rotated nor flipped"),
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
    "resolution negative": Mistake(lambda s: s.arguments("--resolution", "-8"), "above 0"),
    "resolution that is no number": Mistake(lambda s: s.arguments("--resolution", "nan"), "not a finite number"),
    "resolution of a kilometre": Mistake(lambda s: s.arguments("--resolution", "1000"), "from 0.1 to 100 m"),
    "resolution of a continent": Mistake(lambda s: s.arguments("--resolution", "1e7"), "resolution"),
    # heights
    "DEM in kelvin": Mistake(
        lambda s: s.arguments(dem=with_unit(s.dem, "K")), "dem.tif is in 'K', which is no length.*gdal_edit.py -units"
    ),
    "DEM in two units": Mistake(
        lambda s: s.arguments(dem=with_unit(s.raster("d.tif", crs=f"{CRS}+3855"), "ft")),
        "d.tif is in 'ft' by its band and in metre by its vertical CRS, EGM2008 height",
    ),
    "DEM of depths": Mistake(
        lambda s: s.arguments(dem=s.raster("d.tif", crs=f"{CRS}+5715")), "d.tif counts depths downwards .MSL depth"
    ),
    "canopy in per cent": Mistake(
        lambda s: s.arguments("--canopy", with_unit(s.raster("c.tif"), "%"), guide=None), "c.tif is in '%', which is no"
    ),
    "vertical CRS unknown": Mistake(lambda s: s.arguments("--vertical-crs", "EPSG:9"), "not a coordinate reference"),
    "vertical CRS without heights": Mistake(
        lambda s: s.arguments("--vertical-crs", CRS), "has no heights: --vertical-crs takes.*EPSG:5773"
    ),
    "vertical CRS in feet": Mistake(
        lambda s: s.arguments("--vertical-crs", "6360"), "US survey foot.*metres: ask for NAVD88 height .EPSG:5703"
    ),
    "vertical CRS of depths": Mistake(lambda s: s.arguments("--vertical-crs", "5715"), "counts depths downwards"),
    "vertical datum of the DEM not known": Mistake(
        lambda s: s.arguments("--vertical-crs", "EPSG:5773"),
        "dem.tif does not say what its heights are counted from.*gdal_edit.py -a_srs EPSG:4326.3855",
    ),
    "vertical datums of another continent": Mistake(
        lambda s: s.arguments("--vertical-crs", "5736", dem=s.raster("d.tif", crs=f"{CRS}+3855")),
        "PROJ knows no transformation from EGM2008 height.*Yellow Sea 1956",
    ),
    # weights
    "no weights for the guides": Mistake(
        lambda s: s.arguments("--mask", s.raster("m.tif"), weights=None),
        "No weights for --guide and --mask come with jspsr: name some with --weights; 'jspsr weights list'",
    ),
    "weights are a folder": Mistake(lambda s: s.arguments(weights=s.folder), "is not a file; give a checkpoint"),
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
    "output not UTF-8": Mistake(lambda s: s.arguments(output=s.folder / "o\udcff.tif"), "not UTF-8.*another name"),
    "output in no folder": Mistake(lambda s: s.arguments(output=s.folder / "none" / "o.tif"), "none does not exist"),
    "output in a file": Mistake(lambda s: s.arguments(output=s.dem / "o.tif"), "dem.tif does not exist|not a folder"),
    # how it runs
    "device unknown": Mistake(lambda s: s.arguments("--device", "tpu"), "'tpu' is not one of auto"),
    "device missing": Mistake(lambda s: s.arguments("--device", "cuda:99"), "'cuda:99' is not on this machine.*auto"),
    "precision of GPUs": Mistake(lambda s: s.arguments("--device", "cpu", "--precision", "float16"), "not for CPUs"),
    "window odd": Mistake(lambda s: s.arguments("--window", "100"), "'100' is not a multiple of 8"),
    "overlap of all": Mistake(lambda s: s.arguments("--overlap", "1.0"), "'1.0' is not a fraction"),
    "overlap negative": Mistake(lambda s: s.arguments("--overlap=-0.25"), "not a fraction"),
    "batch of none": Mistake(lambda s: s.arguments("--batch-size", "0"), "0 is not in the range"),
    "band before the first": Mistake(lambda s: s.arguments("--guide-bands", "0,1,2"), "counted from 1"),
    "overlap of a whole window": Mistake(lambda s: s.arguments("--overlap", "0.999"), "choose an overlap of at most"),
    "stretch reversed": Mistake(lambda s: s.arguments("--stretch", "9,5"), "not less than HI"),
    "stretch of nothing": Mistake(lambda s: s.arguments("--stretch", "5,5"), "not less than HI"),
}
if not torch.cuda.is_available():
    MISTAKES["device of NVIDIA"] = Mistake(
        lambda s: s.arguments("--device", "cuda"), "'cuda' is not on this machine.*auto"
    )
if not torch.backends.mps.is_available():
    MISTAKES["device of Apple"] = Mistake(
        lambda s: s.arguments("--device", "mps"), "'mps' is not on this machine.*auto"
    )


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(scene: Scene, name: str) -> None:
    check_mistake(scene, MISTAKES[name])


def test_read_only_folder(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scene.folder / "read-only"
    folder.mkdir(mode=0o555)
    if os.geteuid() == 0:  # nothing is read-only to the administrator
        monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == folder))
    check(invoke(scene.arguments(output=folder / "out.tif")), "read-only")
    assert list(folder.iterdir()) == []


def test_an_input_that_breaks_off_is_a_failure(scene: Scene) -> None:
    damaged(guide_over(scene.guide, scene.dem, crs=CRS, resolution=2, share=0.5))
    before = scene.listing()
    done = invoke(scene.arguments())
    assert (done.exit_code, done.stdout) == (1, "")
    assert "guide.tif broke off" in done.stderr
    assert "See previous exception" not in done.stderr
    after = scene.listing()
    assert {name: after[name] for name in before} == before
    assert not scene.output.exists()


def test_too_little_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    check_mistake(
        scene,
        Mistake(lambda s: s.arguments(), r"has 0\.001 MB free and the work may need 0\.[0-9]+ MB: .*smaller area"),
    )
