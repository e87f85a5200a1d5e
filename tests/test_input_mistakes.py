"""Every input that cannot be meant gets its sentence and exit code 2, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT

from tests.mistakes import Mistake, check_mistake, far, file
from tests.scenes import Array, guide_over, terrain, write_raster
from tests.test_enhance_command import CRS, Scene


def cut(path: Path, share: float = 0.5) -> Path:
    """The file ends before its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def truncated_header(scene: Scene) -> Path:
    return file(scene, "cut.tif", scene.guide.read_bytes()[:60])


def without_place(scene: Scene) -> Path:
    values = np.zeros((3, 20, 20), dtype=np.uint8)
    with pytest.warns(NotGeoreferencedWarning):
        return write_raster(scene.folder / "placeless.tif", values, crs=CRS, transform=Affine.identity())


def over(scene: Scene, name: str, values: Callable[[Array, Array], Array] | Array, **profile: Any) -> Path:
    """A raster on the pixels of the guide; `values` of the distances in metres from its corner, or (bands, 1, 1)."""
    with rasterio.open(scene.guide) as dataset:
        rows, cols = np.meshgrid(np.arange(dataset.height) * 8.0, np.arange(dataset.width) * 8.0, indexing="ij")
        place = dataset.transform
    made = values(cols, rows) if callable(values) else np.broadcast_to(values, (*values.shape[:-2], *rows.shape))
    return write_raster(scene.folder / name, np.ascontiguousarray(made), crs=CRS, transform=place, **profile)


def all_of(value: float, dtype: str, bands: int = 1) -> Array:
    return np.full((bands, 1, 1), value, dtype=dtype)


def coarse(scene: Scene, size: float, bands: int = 3) -> Path:
    return guide_over(scene.folder / "coarse.tif", scene.dem, crs=CRS, resolution=size, bands=bands, share=0.9)


def dem_of(scene: Scene, value: float, dtype: str, **profile: Any) -> Path:
    with rasterio.open(scene.dem) as dataset:
        values, place = np.full(dataset.shape, value, dtype=dtype), dataset.transform
    return write_raster(scene.folder / "d.tif", values, crs="EPSG:4326", transform=place, **profile)


def warped_dem(scene: Scene, *, bands: int = 1, lift: float = 0.0) -> Path:
    """Heights of the DEM on the pixels of the guide."""
    with rasterio.open(scene.guide) as dataset:
        grid = {"crs": CRS, "transform": dataset.transform, "width": dataset.width, "height": dataset.height}
    with rasterio.open(scene.dem) as dataset, WarpedVRT(dataset, **grid) as warped:
        values = np.repeat(warped.read() + np.float32(lift), bands, axis=0)
    return write_raster(scene.folder / "heights.tif", values, crs=CRS, transform=grid["transform"])


def coastal(scene: Scene) -> Path:
    """Make the DEM one of a low coast, 140 m deeper."""
    with rasterio.open(scene.dem, "r+") as dataset:
        dataset.write(dataset.read() - np.float32(140))
    return scene.dem


def decimetres(x: Array, y: Array) -> Array:
    trees: Array = np.maximum(0, 2 * (terrain(x, y) - 150)).astype(np.int16) * 5
    return trees


def palette(scene: Scene) -> Path:
    path = dem_of(scene, 7, "uint8")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, 255 - i, 0) for i in range(256)})
    return path


def classes(scene: Scene, value: int, *, bands: int = 1) -> Path:
    """Land use of class 3 with one pixel of `value` in the middle; as a stack, one of two classes."""
    path = over(scene, "use.tif", all_of(3, "uint16") if bands == 1 else all_of(0, "uint8", bands))
    with rasterio.open(path, "r+") as dataset:
        place = rasterio.windows.Window(dataset.width // 2, dataset.height // 2, 1, 1)
        for band in (1,) if bands == 1 else (4, 9):
            dataset.write(np.array([[value]]), band, window=place)
    return path


def vrt_of_nothing(scene: Scene) -> Path:
    from rasterio.shutil import copy

    source = guide_over(scene.folder / "source.tif", scene.dem, crs=CRS, resolution=8, share=0.5)
    copy(source, scene.folder / "g.vrt", driver="VRT")
    source.unlink()
    return scene.folder / "g.vrt"


def asks(option: str, path: Path, scene: Scene, *more: object) -> list[str]:
    """The command with one guide, whatever the weights want."""
    weights = scene.weights[{"--canopy": "canopy", "--mask": "mask"}[option]]
    return scene.arguments(option, path, *more, guide=None, weights=weights)


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
    "DEM of three bands": Mistake(lambda s: s.arguments(dem=s.raster("d.tif", bands=3)), "d.tif has 3 bands.*has one"),
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
    # inputs that break off, or are not what GDAL opens
    "guide cut in half": Mistake(lambda s: s.arguments(guide=cut(s.guide)), "guide.tif broke off while being read"),
    "DEM cut in half": Mistake(lambda s: s.arguments(dem=cut(s.dem)), "dem.tif broke off while being read"),
    "DEM without its last byte": Mistake(lambda s: s.arguments(dem=cut(s.dem, 0.999)), "dem.tif broke off"),
    "VRT without its source": Mistake(lambda s: s.arguments(guide=vrt_of_nothing(s)), "g.vrt.*source.tif"),
    "an archive": Mistake(lambda s: s.arguments(guide=file(s, "g.zip")), "g.zip cannot be read.*/vsizip/.*g.zip/NAME"),
    "part of no file": Mistake(lambda s: s.arguments(dem="NETCDF:none.nc:z"), "NETCDF:none.nc:z cannot be read"),
    "name not UTF-8": Mistake(lambda s: s.arguments(dem=s.folder / "d\udcff.tif"), "not UTF-8.*rename"),
    "server that is not there": Mistake(
        lambda s: s.arguments(guide="http://127.0.0.1:9/g.tif"), "g.tif cannot be read as a raster: "
    ),
    # inputs in each other's place
    "DEM and guide swapped": Mistake(
        lambda s: s.arguments(dem=s.guide, guide=s.dem), "guide.tif has 3 bands.*did you swap it with the guide"
    ),
    "DEM of two bands": Mistake(lambda s: s.arguments(dem=s.raster("d.tif", bands=2)), "2 bands.*gdal_translate -b"),
    "DEM of colours": Mistake(lambda s: s.arguments(dem=palette(s)), "d.tif has a colour table"),
    "DEM of complex numbers": Mistake(lambda s: s.arguments(dem=dem_of(s, 1, "complex64")), "d.tif holds complex"),
    "DEM as guide": Mistake(lambda s: s.arguments(guide=warped_dem(s)), "1 band of float32, as elevation models have"),
    "DEM as three bands": Mistake(
        lambda s: s.arguments(guide=warped_dem(s, bands=3, lift=1)),
        "heights.tif holds the heights of an elevation model",
    ),
    "DEM as canopy": Mistake(lambda s: asks("--canopy", s.dem, s), "dem.tif was given as INPUT and as --canopy"),
    "heights as canopy": Mistake(
        lambda s: asks("--canopy", warped_dem(s, lift=30), s), "heights.tif holds heights up to .*subtract the terrain"
    ),
    "surface as canopy": Mistake(
        lambda s: asks("--canopy", warped_dem(s, lift=2), s), "holds the heights of an elevation model: --canopy wants"
    ),
    "low coast as canopy": Mistake(
        lambda s: asks("--canopy", warped_dem(s), s) if coastal(s) else [], "holds the heights of an elevation model"
    ),
    "canopy the wrong way round": Mistake(
        lambda s: asks("--canopy", over(s, "c.tif", lambda x, y: -decimetres(x, y) / 10), s),
        "c.tif is mostly below zero.*not the other way round",
    ),
    "canopy in decimetres": Mistake(
        lambda s: asks("--canopy", over(s, "c.tif", decimetres), s),
        r"c.tif holds heights up to \d\d\d, which is no canopy in metres.*decimetres.*-scale 0.1",
    ),
    "land use codes as canopy": Mistake(
        lambda s: asks("--canopy", over(s, "c.tif", lambda x, _: (11100 + 10 * (x // 64)).astype(np.int32)), s),
        "no canopy in metres",
    ),
    "DEM as land use": Mistake(lambda s: asks("--mask", warped_dem(s), s), "heights.tif holds the land use value 1"),
    "land use of no class": Mistake(lambda s: asks("--mask", classes(s, 77), s), "use.tif holds the land use value 77"),
    "land use of two classes": Mistake(
        lambda s: asks("--mask", classes(s, 1, bands=15), s), "use.tif has 15 bands that are not one class each"
    ),
    # inputs without data
    "DEM of nodata": Mistake(lambda s: s.arguments(dem=dem_of(s, 0, "int16", nodata=0)), "d.tif has no data at all"),
    "DEM of untagged nodata": Mistake(
        lambda s: s.arguments(dem=dem_of(s, -32768, "int16")), "d.tif has no data at all"
    ),
    "DEM of infinity": Mistake(lambda s: s.arguments(dem=dem_of(s, np.inf, "float32")), "d.tif has no data at all"),
    "DEM of no numbers": Mistake(lambda s: s.arguments(dem=dem_of(s, np.nan, "float32")), "d.tif has no data at all"),
    "guide of nodata": Mistake(
        lambda s: s.arguments(guide=over(s, "g.tif", all_of(0, "uint8", 3), nodata=0)), "g.tif has no data at all"
    ),
    "two guides of nodata": Mistake(
        lambda s: s.arguments(
            "--guide",
            *[over(s, f"{n}.tif", all_of(0, "uint8", 3), nodata=0) for n in "g"],
            guide=over(s, "h.tif", all_of(0, "uint8", 3), nodata=0),
        ),
        "h.tif and 1 more have no data at all",
    ),
    "16-bit guide of nodata": Mistake(
        lambda s: s.arguments(guide=over(s, "g.tif", all_of(0, "uint16", 3), nodata=0)), "g.tif has no data at all"
    ),
    "canopy of untagged nodata": Mistake(
        lambda s: asks("--canopy", over(s, "c.tif", all_of(255, "uint8")), s), "c.tif has no data at all"
    ),
    "canopy of nodata like the DEM": Mistake(
        lambda s: asks("--canopy", over(s, "c.tif", all_of(153, "uint8")), s), "c.tif has no data at all"
    ),
    "land use of nodata": Mistake(
        lambda s: asks("--mask", over(s, "m.tif", all_of(255, "uint8"), nodata=255), s), "m.tif has no data at all"
    ),
    # pixels too large
    "guide of 30 m": Mistake(
        lambda s: s.arguments(guide=coarse(s, 30)), "30 m, more than twice the 8 m.*--resolution 15, or give a finer"
    ),
    "guide of 300 m": Mistake(
        lambda s: s.arguments(guide=coarse(s, 300)), "300 m, more than.*small: give a finer guide"
    ),
    "canopy of 10 m for 3 m": Mistake(
        lambda s: asks("--canopy", coarse(s, 10, 1), s, "--resolution", "3"),
        "10 m, more than twice.*--resolution 5, or",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(scene: Scene, name: str) -> None:
    check_mistake(scene, MISTAKES[name])
