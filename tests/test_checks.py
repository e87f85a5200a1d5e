"""What is looked at before the work begins refuses nothing that is legitimate, and what it misses is met later."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.windows import Window

from jspsr_cli.errors import (
    CoarseGuide,
    EmptyRaster,
    InvalidOption,
    JspsrError,
    ReadFailed,
    UnreadableRaster,
    WrongValues,
)
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.inputs import open_canopy
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.target import TargetRequest
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from jspsr_cli.types import Bounds
from tests.scenes import Array, cop30, guide_over, heights_of, identity, terrain, weights_info, write_raster

CRS = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_000_000.0

#: Target pixels along a side: the squares of the sample leave gaps of 24, the first from 32 to 56; 8 pixels of the
#: source around a square are read with it.
SIDE = 200
BETWEEN = (slice(38, 50), slice(38, 50))


def raster(path: Path, values: Array, *, size: float = 8.0, **profile: Any) -> Path:
    return write_raster(path, values, crs=CRS, transform=Affine(size, 0, WEST, 0, -size, NORTH), **profile)


def positions(size: float, count: int) -> tuple[Array, Array]:
    x, y = np.meshgrid((np.arange(count) + 0.5) * size, (np.arange(count) + 0.5) * size)
    return x, y


def hills(x: Array, y: Array) -> Array:
    return terrain(x, y).astype(np.float32)


def run(
    folder: Path,
    kind: str,
    values: Array,
    *,
    ground: Callable[[Array, Array], Array] = hills,
    nodata: float | None = None,
    **options: Any,
) -> EnhanceReport:
    """`enhance` with a DEM of 32 m and one guide of 8 m on the same ground."""
    dem = raster(folder / "dem.tif", ground(*positions(32, SIDE // 4)), size=32)
    given = {kind: [raster(folder / f"{kind}.tif", values, nodata=nodata)]}
    network = (identity, weights_info(kind))
    chosen = EnhanceOptions(overwrite=True, **options)
    return enhance(dem, output=folder / "out.tif", weights=network, options=chosen, **given)  # type: ignore[arg-type]


# Sparse data


@pytest.mark.parametrize("kind", ["image", "canopy", "mask"])
def test_data_between_the_samples_are_data(tmp_path: Path, kind: str) -> None:
    values = np.zeros((3 if kind == "image" else 1, SIDE, SIDE), np.uint8)
    values[:, *BETWEEN] = 9
    report = run(tmp_path, kind, np.where(values, values, 255).astype(np.uint8), nodata=255)
    assert report.pixels_written == 12 * 12
    assert np.isfinite(heights_of(tmp_path / "out.tif")[BETWEEN]).all()


def test_no_data_in_the_area_that_was_asked_for(tmp_path: Path) -> None:
    values = np.zeros((3, SIDE, SIDE), np.uint8)
    values[:, *BETWEEN] = 9
    west, north = WEST + 8 * 38, NORTH - 8 * 38
    assert run(tmp_path, "image", values, nodata=0, bounds=(west, north - 80, west + 80, north)).pixels_written == 100
    with pytest.raises(EmptyRaster, match=r"image\.tif has no data at all where the output would be"):
        run(tmp_path, "image", values, nodata=0, bounds=(WEST, north - 80, west, north))


def test_inputs_that_share_no_valid_pixel_are_told_of(tmp_path: Path) -> None:
    """Each has data, and where one has the other has none."""

    def western(x: Array, y: Array) -> Array:
        return np.where(x < 4 * SIDE, hills(x, y), np.nan).astype(np.float32)

    eastern = np.zeros((3, SIDE, SIDE), np.uint8)
    eastern[:, :, SIDE * 3 // 4 :] = 9
    report = run(tmp_path, "image", eastern, ground=western, nodata=0)
    assert report.pixels_written == 0
    assert any("share no valid pixel" in warning for warning in report.warnings)


# What the sample misses


@pytest.mark.parametrize(("place", "error"), [(44, ReadFailed), (60, UnreadableRaster)])
def test_a_strange_class_is_a_mistake_if_it_is_seen_and_else_a_failure(
    tmp_path: Path, place: int, error: type[JspsrError]
) -> None:
    values = np.full((SIDE, SIDE), 3, np.uint8)
    values[place, place] = 77
    with pytest.raises(error, match=r"mask\.tif holds the land use value 77"):
        run(tmp_path, "mask", values)
    assert error.exit_code == (2 if error is UnreadableRaster else 1)
    assert "out.tif" not in {path.name for path in tmp_path.iterdir()}


# Canopy


def woods(x: Array, y: Array) -> Array:
    """Canopy of 0 to 40 m."""
    trees: Array = np.clip(terrain(1.7 * x + 900, 2.3 * y) - 150, 0, 40).astype(np.float32)
    return trees


def with_some(values: Array, *strays: float) -> Array:
    for i, stray in enumerate(strays):
        values[i :: len(strays) + 3] = stray
    return values


def one_forest(x: Array, y: Array) -> Array:
    """Without a gap, from 20 to 30 m; tall as in the north of California with 50 m more."""
    return (25 + 5 * np.sin(x / 40) * np.cos(y / 35)).astype(np.float32)


LEGITIMATE: dict[str, Callable[[Array, Array], Array]] = {
    "woods": woods,
    "whole metres": lambda x, y: woods(x, y).astype(np.uint8),
    "no trees": lambda x, _: np.zeros_like(x, dtype=np.float32),
    "untagged nodata": lambda x, y: with_some(woods(x, y), -9999, 255, 65535),
    "few spikes": lambda x, y: np.where(np.arange(x.size).reshape(x.shape) % 331, woods(x, y), 151 + x % 97),
    "redwoods": lambda x, y: one_forest(x, y) + 50,
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_canopies_of_every_kind(tmp_path: Path, name: str) -> None:
    report = run(tmp_path, "canopy", LEGITIMATE[name](*positions(8, SIDE)))
    assert report.pixels_written > 1000
    assert [w for w in report.warnings if "canopy above 68 m" not in w] == []


def test_canopy_and_dem_of_the_sea_are_both_zero(tmp_path: Path) -> None:
    """Nine tenths of both are equal."""

    def coast(x: Array, y: Array) -> Array:
        return np.where(x > 40, 0, hills(x, y) / 20).astype(np.float32)

    report = run(tmp_path, "canopy", np.where(positions(8, SIDE)[0] > 40, 0, woods(*positions(8, SIDE))), ground=coast)
    assert report.warnings == ()


def test_a_dem_that_saw_the_trees_on_flat_ground_near_the_sea(tmp_path: Path) -> None:
    """Then the canopy follows the DEM, and is near it: refused only where it is nowhere near zero."""

    def seen(x: Array, y: Array) -> Array:
        return 3 + 0.8 * woods(x, y)

    assert run(tmp_path, "canopy", woods(*positions(8, SIDE)), ground=seen).warnings == ()


def test_a_canopy_near_the_dem_and_nowhere_near_zero_is_doubted(tmp_path: Path) -> None:
    report = run(
        tmp_path, "canopy", one_forest(*positions(8, SIDE)), ground=lambda x, y: 22 + 4 * np.sin(y / 90) + 0 * x
    )
    assert [w.partition(" but")[0] for w in report.warnings] == ["canopy.tif is nowhere near 0 m"]


def test_an_elevation_model_below_the_tallest_trees(tmp_path: Path) -> None:
    """Of another survey, and with a valley at sea level: known by its relief."""

    def valley(x: Array, y: Array) -> Array:
        return (x / 8 % 120 * np.hypot(1, y / 900)).astype(np.float32)

    with pytest.raises(WrongValues, match=r"canopy\.tif holds the heights of an elevation model"):
        run(tmp_path, "canopy", valley(*positions(8, SIDE)) + 1, ground=valley)


def test_a_scale_makes_metres_of_decimetres(tmp_path: Path) -> None:
    import rasterio

    metres = np.round(woods(*positions(8, SIDE)))
    path = raster(tmp_path / "canopy.tif", (10 * metres).astype(np.int16))
    with pytest.raises(WrongValues, match=r"-scale 0\.1"):
        run(tmp_path, "canopy", (10 * metres).astype(np.int16))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.1,)
    with RasterReader() as reader:
        values = reader.read(open_canopy([str(path)])[0], Window(0, 0, SIDE, SIDE))
    assert values[0] == pytest.approx(metres, abs=1e-5)


# Sizes of pixels


@pytest.mark.parametrize(("size", "right"), [(16.0, True), (16.1, True), (16.5, False)])
def test_two_pixels_of_the_target_are_the_limit(tmp_path: Path, size: float, right: bool) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=45.0, size=30)
    guide = guide_over(tmp_path / "guide.tif", dem, crs=CRS, resolution=size)
    arguments: dict[str, Any] = {"output": tmp_path / "o.tif", "weights": (identity, weights_info("image"))}
    if right:
        assert enhance(dem, image=[guide], **arguments).pixels_written
    else:
        with pytest.raises(CoarseGuide, match=r"16\.5 m, .*--resolution 8\.25, or"):
            enhance(dem, image=[guide], **arguments)
        enhance(dem, image=[guide], options=EnhanceOptions(resolution=8.25), **arguments)


@pytest.mark.parametrize(
    ("size", "dtype", "warning"),
    [
        (1.0, "float32", "pixels of 1 m, finer than the output: the weights know DEMs of 30 m"),
        (10.0, "float32", "pixels of 10 m: the weights"),
        (14.0, "float32", None),  # GLO-30 at 84 degrees of latitude is 20 m
        (30.0, "int16", None),
        (90.0, "float32", "pixels of 90 m: the weights"),
        (30.0, "uint8", "is 8 bit: make sure"),
    ],
)
def test_unusual_dems_are_told_of(tmp_path: Path, size: float, dtype: str, warning: str | None) -> None:
    count = int(max(6, 480 / size))
    dem = raster(tmp_path / "dem.tif", terrain(*positions(size, count)).astype(dtype), size=size)
    guide = raster(tmp_path / "guide.tif", np.full((3, 20, 20), 9, np.uint8), size=8)
    options = EnhanceOptions(water="network")
    weights = (identity, weights_info("image"))
    report = enhance(dem, output=tmp_path / "o.tif", image=[guide], weights=weights, options=options)  # type: ignore[arg-type]
    assert len(report.warnings) == (warning is not None)
    assert warning is None or warning in report.warnings[0]


@pytest.mark.parametrize("side", [1, 2, 3])
def test_rasters_of_a_few_pixels(tmp_path: Path, side: int) -> None:
    dem = raster(tmp_path / "dem.tif", hills(*positions(32, side)), size=32)
    guide = raster(tmp_path / "guide.tif", np.full((3, side, side), 9, np.uint8), size=8)
    report = enhance(dem, output=tmp_path / "o.tif", image=[guide], weights=(identity, weights_info("image")))  # type: ignore[arg-type]
    assert report.pixels_written == side**2


# Options that the command line would not let pass, and a server that says nothing


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": 0.0},
        {"resolution": float("nan")},
        {"guide_bands": (0, 1, 2)},
        {"stretch": (5.0, 5.0)},
        {"window": 0},
        {"batch_size": -1},
    ],
    ids=str,
)
def test_options_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        EnhanceOptions(**options)


@pytest.mark.parametrize("bounds", [(10, 45, 9, 46), (9, 46, 10, 45), (float("nan"),) * 4, (5e5, 1, 4e5, 2)], ids=str)
def test_bounds_that_cannot_work(bounds: Bounds) -> None:
    with pytest.raises(InvalidOption, match="bounds are reversed or empty"):
        TargetRequest(8.0, bounds=bounds)


def test_a_silent_server_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GDAL_OPTIONS, "GDAL_HTTP_LOW_SPEED_TIME", "1")
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=45.0, size=30)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and answers none
        url = f"http://127.0.0.1:{server.getsockname()[1]}/guide.tif"
        with pytest.raises(UnreadableRaster, match="cannot be read as a raster"):
            enhance(dem, output=tmp_path / "o.tif", image=[url], weights=(identity, weights_info("image")))  # type: ignore[arg-type]
