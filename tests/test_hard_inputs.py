"""Inputs and outputs that are unusual and legitimate, or that must be refused with a sentence."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from click.testing import CliRunner
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.shutil import copy as gdal_copy

from jspsr_cli import options
from jspsr_cli.errors import MissingCRS, OutputExists, OutputNotWritable, UnreadableRaster
from jspsr_cli.params import RasterPath, StretchType
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.align import pixel_size
from jspsr_cli.raster.grid import WGS84, choose_crs, project_bounds, snapped_grid
from jspsr_cli.raster.inputs import canopy_layer, image_layer, open_canopy, open_dem, open_image
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster, short_name
from jspsr_cli.request import EnhanceOptions
from tests.scenes import (
    Array,
    bicubic,
    centres,
    cop30,
    guide_over,
    heights_of,
    identity,
    weights_info,
    write_raster,
)

UTM32 = CRS.from_epsg(32632)
PLACE = Affine(8, 0, 500_000, 0, -8, 5_300_000)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=47.0, size=30)
    return dem, guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32632", resolution=4)


def run(pair: tuple[Path, Path], output: Path, *, network: object = identity, overwrite: bool = False) -> None:
    weights = (network, weights_info("image"))
    chosen = EnhanceOptions(overwrite=overwrite)
    enhance(pair[0], output=output, image=[pair[1]], weights=weights, options=chosen)  # type: ignore[arg-type]


def test_a_second_process_is_told_who_works(pair: tuple[Path, Path], tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def waits(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        begun.set()
        assert go_on.wait(30)
        return dem

    first = threading.Thread(target=run, args=(pair, tmp_path / "out.tif"), kwargs={"network": waits})
    first.start()
    try:
        assert begun.wait(30)
        with pytest.raises(OutputExists, match=r"Process \d+ on .* is working on"):
            run(pair, tmp_path / "out.tif")
    finally:
        go_on.set()
        first.join()
    assert np.isfinite(heights_of(tmp_path / "out.tif")).any()
    assert not (tmp_path / "out.tif.partial").exists()


def test_what_a_killed_process_left_is_taken_over(pair: tuple[Path, Path], tmp_path: Path) -> None:
    left = tmp_path / "out.tif.partial"
    left.mkdir()
    (left / "jspsr.lock").touch()
    (left / "heights.f32").write_bytes(b"half")
    run(pair, tmp_path / "out.tif")
    assert not left.exists()


def test_devices_and_pipes_are_no_outputs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    with pytest.raises(OutputNotWritable, match="device or a pipe"):
        run(pair, pipe, overwrite=True)
    assert pipe.is_fifo()


def test_a_link_is_written_through(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    link = tmp_path / "link.tif"
    link.symlink_to(tmp_path / "large" / "dem.tif")
    run(pair, link)
    assert link.is_symlink()
    assert np.isfinite(heights_of(tmp_path / "large" / "dem.tif")).any()


@pytest.mark.parametrize(
    ("crs", "unit", "metres"),
    [
        ("EPSG:4326", "", 1.0),
        ("EPSG:4326", "ft", 0.3048),
        ("EPSG:4326", "us survey foot", 1200 / 3937),
        ("EPSG:4269+6360", "", 1200 / 3937),
        ("EPSG:4269+6360", "ft", 1200 / 3937),  # loosely said
        ("EPSG:4326+3855", "metre", 1.0),
        ("EPSG:4979", "", 1.0),
        ("EPSG:4326", "Meters", 1.0),
        ("EPSG:4326", "Foot_US", 1200 / 3937),
        ("EPSG:4326", "dm", 0.1),  # PROJ's table has 0.01
        ("EPSG:4326", "[cm]", 0.01),
        ("EPSG:4326", "millimetres", 0.001),
        ("EPSG:4326", "km", 1000),
        ("EPSG:4326", "fathoms", 1.8288),
    ],
)
def test_heights_of_any_unit_become_metres(tmp_path: Path, crs: str, unit: str, metres: float) -> None:
    place = Affine(0.001, 0, 9, 0, -0.001, 47)
    path = write_raster(tmp_path / "dem.tif", np.full((3, 3), 1000, np.float32), crs=crs, transform=place)
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_unit(1, unit)
    with RasterReader() as reader:
        (file,) = open_dem([str(path)])
        heights = reader.read(file, rasterio.windows.Window(0, 0, 3, 3))
    assert heights == pytest.approx(1000 * metres, rel=1e-6)
    assert not file.crs.to_wkt().startswith("COMPD")


#: Maps of positions, in pixels of the DEM from its middle, onto the ground's: x to the east and y to the north.
LATTICES = {
    "south up": Affine.scale(1, 1),
    "mirrored": Affine.scale(-1, -1),
    "a tenth of a turn": Affine.rotation(36) * Affine.scale(1, -1),
    "a quarter turn": Affine.rotation(90) * Affine.scale(1, -1),
    "sheared": Affine.shear(25, 5) * Affine.scale(1, -1),
}


@pytest.mark.parametrize("name", LATTICES)
def test_a_dem_on_any_lattice(tmp_path: Path, name: str) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=47.0, size=60)
    with rasterio.open(dem) as dataset:
        heights, (col, row) = dataset.read(1), (dataset.width / 2, dataset.height / 2)
        x, y = dataset.transform * (col, row)
    second = Affine.scale(1 / 3600)
    place = Affine.translation(x, y) * second * LATTICES[name] * Affine.translation(-col, -row)
    turned = write_raster(tmp_path / "turned.tif", heights, crs="EPSG:4326", transform=place)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32632", resolution=4, share=0.4)
    run((turned, guide), tmp_path / "out.tif")
    expected = bicubic(turned, *centres(tmp_path / "out.tif"))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(heights_of(tmp_path / "out.tif"), expected, atol=1e-3)


@pytest.mark.parametrize("name", LATTICES)
def test_a_guide_on_any_lattice(tmp_path: Path, name: str) -> None:
    """Its red grows to the east and its green to the south, by one for each metre."""
    place = Affine.translation(500_100, 5_299_900) * Affine.scale(2) * LATTICES[name] * Affine.translation(-100, -100)
    x, y = place * tuple(np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5))
    values = np.stack([x - 500_000, 5_300_000 - y, x * 0]).astype(np.float32)
    path = write_raster(tmp_path / "guide.tif", values, crs="EPSG:32632", transform=place)
    seen = layer_of("image", [path], 25)
    middle = slice(9, 16)  # the 56 m in the middle are inside every one of them
    expected = np.broadcast_to(np.arange(25) * 8.0 + 4, (25, 25))
    np.testing.assert_allclose(seen[0, middle, middle], expected[middle, middle], atol=0.6)
    np.testing.assert_allclose(seen[1, middle, middle], expected.T[middle, middle], atol=0.6)


def layer_of(kind: str, paths: list[Path], size: int) -> Array:
    grid = snapped_grid(UTM32, 8, (500_000, 5_300_000 - 8 * size, 500_000 + 8 * size, 5_300_000))
    names = [str(path) for path in paths]
    with RasterReader() as reader:
        if kind == "canopy":
            return np.asarray(canopy_layer(open_canopy(names), grid, reader=reader).read(0, 0, size, size))
        return np.asarray(image_layer(open_image(names), grid, reader=reader, stretch=None).read(0, 0, size, size))


def test_scale_and_offset_are_in_the_unit(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "dem.tif", np.full((3, 3), 7, np.float32), crs="EPSG:32632", transform=PLACE)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (2,), (-6,)
        dataset.set_band_unit(1, "dm")
    with RasterReader() as reader:
        (file,) = open_dem([str(path)])
        assert reader.read(file, rasterio.windows.Window(0, 0, 3, 3)) == pytest.approx(0.8)


@pytest.mark.parametrize(("unit", "stored"), [("", 12), ("m", 12), ("dm", 120), ("cm", 1200), ("ft", 12 / 0.3048)])
def test_canopy_of_any_unit_becomes_metres(tmp_path: Path, unit: str, stored: float) -> None:
    """A unit of the band counts; that of heights above the sea says nothing of trees."""
    values = np.full((6, 6), stored, np.float32)
    path = write_raster(tmp_path / "chm.tif", values, crs="EPSG:32632+7837", transform=PLACE)
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_unit(1, unit)
    assert layer_of("canopy", [path], 4) == pytest.approx(12, rel=1e-6)


@pytest.mark.parametrize("nodata", [-9999, 255, 65535, 1e20])
def test_canopy_that_no_tree_reaches_is_no_data(tmp_path: Path, nodata: float) -> None:
    values = np.full((6, 6), 12, np.float32)
    values[2:4, 2:4] = nodata
    path = write_raster(tmp_path / "chm.tif", values, crs="EPSG:32632", transform=PLACE)
    expected = np.zeros((6, 6), dtype=bool)
    expected[2:4, 2:4] = True
    assert np.array_equal(np.isnan(layer_of("canopy", [path], 6)[0]), expected)


def test_an_edge_does_not_depend_on_other_guides(tmp_path: Path) -> None:
    place = Affine(3, 0, 500_001, 0, -3, 5_299_999)  # ends within pixels of the target
    guide = write_raster(tmp_path / "a.tif", np.full((3, 20, 20), 9, np.uint8), crs="EPSG:32632", transform=place)
    other = write_raster(tmp_path / "b.tif", np.full((3, 3, 3), 9, np.uint8), crs="EPSG:32632",
                         transform=Affine(5, 0, 520_000, 0, -5, 5_300_000))  # fmt: skip
    alone, beside = layer_of("image", [guide], 12), layer_of("image", [guide, other], 12)
    assert np.array_equal(alone, beside, equal_nan=True)


@pytest.mark.parametrize("crs", ["EPSG:6933", "ESRI:54009"])
def test_equal_area_maps_of_the_world_are_not_in_metres(crs: str) -> None:
    assert choose_crs(CRS.from_string(crs), area=(25, 65, 25.1, 65.1)).to_epsg() == 32635


def test_a_world_mosaic_has_the_pixel_size_of_the_place(tmp_path: Path) -> None:
    side, south = 2.5e-5, CRS.from_epsg(32756)
    tiles = []
    for name, lon, lat in (("here", 151, -33), ("far", -74, 40)):
        place = Affine(side, 0, lon, 0, -side, lat)
        path = write_raster(tmp_path / f"{name}.tif", np.zeros((4, 4), np.uint8), crs="EPSG:4326", transform=place)
        tiles.append(inspect_raster(str(path)))
    world = Mosaic(tuple(tiles))
    grid = snapped_grid(south, 8, project_bounds((151, -33.001, 151.001, -33), WGS84, south))
    assert pixel_size(world, grid) == pytest.approx(2.5, rel=0.1)


def test_ground_control_points_only(tmp_path: Path) -> None:
    corners = [GroundControlPoint(r, c, 9 + c * 0.001, 47 - r * 0.001) for r in (0, 10) for c in (0, 10)]
    path = tmp_path / "scan.tif"
    layout = {"driver": "GTiff", "count": 3, "height": 10, "width": 10, "dtype": "uint8"}
    with rasterio.open(path, "w", gcps=corners, crs="EPSG:4326", **layout) as dataset:
        dataset.write(np.zeros((3, 10, 10), np.uint8))
    with pytest.raises(MissingCRS, match="gdalwarp"):
        inspect_raster(str(path))


def test_places_that_are_no_numbers(tmp_path: Path) -> None:
    nowhere = Affine(1e-3, 0, float("nan"), 0, -1e-3, 45)
    path = write_raster(tmp_path / "dem.tif", np.zeros((8, 8), np.float32), crs="EPSG:4326", transform=nowhere)
    with pytest.raises(MissingCRS, match="no number"):
        inspect_raster(str(path))


def test_complex_numbers_are_no_heights(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "sar.tif", np.zeros((3, 3), np.complex64), crs="EPSG:32632", transform=PLACE)
    with pytest.raises(UnreadableRaster, match="complex"):
        inspect_raster(str(path))


def test_a_container_names_what_it_holds(tmp_path: Path) -> None:
    one = write_raster(tmp_path / "one.tif", np.zeros((3, 3), np.uint8), crs="EPSG:32632", transform=PLACE)
    box = tmp_path / "box.gpkg"
    gdal_copy(one, box, driver="GPKG", RASTER_TABLE="first")
    gdal_copy(one, box, driver="GPKG", RASTER_TABLE="second", APPEND_SUBDATASET="YES")
    with pytest.raises(UnreadableRaster, match=r"FIRST.*give one of these names"):
        inspect_raster(str(box))
    part = RasterPath().parse(f"GPKG:{box}:FIRST")
    assert (inspect_raster(part).width, inspect_raster(part).name) == (3, "box.gpkg:FIRST")


@pytest.mark.parametrize("part", ['NETCDF:"a.nc":band', "HDF5:a.h5://band", "GTIFF_DIR:2:a.tif"])
def test_parts_of_files_are_left_to_gdal(part: str) -> None:
    assert RasterPath().parse(part) == part
    assert short_name(part).startswith("a.")
    assert short_name("HTTP://example.org/b/a.tif?key=secret") == "a.tif"


@pytest.mark.parametrize(
    ("text", "why"), [("C:\\a.tif", "No such file"), ("GPKG:", "No such file"), ("\udcff", "UTF-8")]
)
def test_what_is_no_part_of_a_file(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RasterPath().parse(text)


@pytest.mark.parametrize("text", ["-1e300,1e300", "1e39,1e40", "0,1e-40"])
def test_stretches_that_float32_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="LO and HI"):
        StretchType().parse(text)


def test_batches_that_nobody_means() -> None:
    import click

    @click.command()
    @options.batch_size
    def command(**_: object) -> None:
        pass

    assert CliRunner().invoke(command, ["--batch-size", "9" * 20]).exit_code == 2
