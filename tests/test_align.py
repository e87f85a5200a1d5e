"""Contract 1, second half: sampling from source pixels to the target grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import transform
from rasterio.windows import Window

from jspsr_cli.errors import ReadFailed, TooFine
from jspsr_cli.raster import align
from jspsr_cli.raster.align import AlignedLayer, Sampling
from jspsr_cli.raster.grid import Grid, snapped_grid
from jspsr_cli.raster.inputs import (
    HeightLayers,
    canopy_layer,
    image_layer,
    land_use_layer,
    open_canopy,
    open_image,
    open_land_use,
)  # fmt: skip
from jspsr_cli.raster.landuse import classes_of, classes_of_stack
from jspsr_cli.raster.mosaic import group_mosaics
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.warp import Place, SourceBlock
from jspsr_cli.raster.water import flat_water
from tests.scenes import Array, cop30, terrain, utm, write_raster

UTM33 = CRS.from_epsg(32633)
WEST, NORTH = 500_000.0, 5_300_000.0


def aligned(path: Path, grid: Grid, *, finer: Resampling = Resampling.average) -> AlignedLayer:
    sampling = Sampling(finer, Resampling.cubic, lambda values: values)
    return AlignedLayer(group_mosaics([inspect_raster(str(path))]), grid, reader=RasterReader(), sampling=sampling)


def grid_of(resolution: float, size: int) -> Grid:
    return Grid(UTM33, Affine(resolution, 0, WEST, 0, -resolution, NORTH), size, size)


def fine(path: Path, values: Array, resolution: float, **profile: Any) -> Path:
    transform = Affine(resolution, 0, WEST, 0, -resolution, NORTH)
    return write_raster(path, values, crs="EPSG:32633", transform=transform, **profile)


@settings(max_examples=20)
@given(st.data())
def test_a_cut_shows_nowhere(tmp_path: Path, data: st.DataObject) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=15.2, lat=64.8, size=50)
    box = inspect_raster(str(dem)).extent
    grid = snapped_grid(UTM33, 8, (509_000, 7_186_000, 510_500, 7_187_500))
    layer = aligned(dem, grid)
    whole = layer.read(0, 0, grid.height, grid.width)
    assert np.isfinite(whole).mean() > 0.4, box
    row, col = data.draw(st.integers(0, grid.height - 1)), data.draw(st.integers(0, grid.width - 1))
    height, width = (data.draw(st.integers(1, n)) for n in (grid.height - row, grid.width - col))
    part = layer.read(row, col, height, width)
    assert np.array_equal(part, whole[:, row : row + height, col : col + width], equal_nan=True)


def test_pixels_too_many_to_average_are_refused(tmp_path: Path) -> None:
    """A header could ask for any amount of memory: one target pixel is the least that is read at once."""
    values = np.ones((8, 8), np.float32)
    aligned(fine(tmp_path / "fine.tif", values, 8 / 2990), grid_of(8, 4))
    with pytest.raises(TooFine, match=r"too-fine.tif has pixels of 0.0027 m, too many in one of 8 m of the output"):
        aligned(fine(tmp_path / "too-fine.tif", values, 8 / 3010), grid_of(8, 4))


def test_finer_heights_are_averaged(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    layer = aligned(fine(tmp_path / "dem.tif", values, 2), grid_of(8, 10))
    expected = values.reshape(10, 4, 10, 4).mean(axis=(1, 3))
    assert layer.read(0, 0, 10, 10)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("east", "south"), [(6, 4), (-14, -6), (80, 74), (-14, 74), (-700, 4)])  # of 120 m
@pytest.mark.parametrize(("across", "down"), [(1, 2), (4, 4), (5, 3), (40, 40)])
def test_means_of_whole_pixels_are_those_of_gdal(
    across: int, down: int, east: int, south: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beyond the edge is void."""
    random = np.random.default_rng(across)
    pixels = (300 + 100 * random.random((2, 60, 60))).astype(np.float32)
    pixels[:, random.random((60, 60)) < 0.3] = np.nan
    pixels[:, 20:40, 20:40] = np.nan
    block = SourceBlock(pixels, UTM33, Affine(2, 0, WEST, 0, -2, NORTH), "fine.tif")
    place = Place(UTM33, Affine(2 * across, 0, WEST + east, 0, -2 * down, NORTH - south), 8, 10)
    means = block.means(place)
    assert means is not None
    assert np.isnan(means).any()
    assert np.isfinite(means).any() == (east > -700)
    monkeypatch.setattr(SourceBlock, "means", lambda *_: None)
    # GDAL treats what is void otherwise than what is outside.
    rimmed = np.pad(pixels, ((0, 0), (40, 40), (40, 40)), constant_values=np.nan)
    block = SourceBlock(rimmed, UTM33, Affine(2, 0, WEST - 80, 0, -2, NORTH + 80), "fine.tif")
    np.testing.assert_allclose(means, block.warp(place, Resampling.average), rtol=1e-6)


@pytest.mark.parametrize("side", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_an_edge_is_where_it_is_however_pixels_lie(tmp_path: Path, side: float, shift: float) -> None:
    """Every target pixel that holds some of the source has data, in whole pixels as in parts of them."""
    pixels = np.random.default_rng(1).random((round(40 / side), round(40 / side))).astype(np.float32)
    masks = []
    for name, off in (("whole", 0.0), ("parts", shift * side)):
        place = Affine(side, 0, WEST + 6 + off, 0, -side, NORTH - 6 + off)
        file = write_raster(tmp_path / f"{name}.tif", pixels, crs="EPSG:32633", transform=place)
        masks.append(np.isfinite(aligned(file, grid_of(8, 8)).read(0, 0, 8, 8)[0]))
    expected = np.zeros((8, 8), bool)
    expected[:6, :6] = True
    assert np.array_equal(masks[0], expected)
    assert np.array_equal(masks[1], expected)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(8, 0, WEST + 1, 0, -8, NORTH),  # halves of pixels
        Affine(7, 0, WEST, 0, -8, NORTH),
        Affine(8, 0.001, WEST, 0, -8, NORTH),
        Affine(8, 0, WEST, 0, 8, NORTH - 96),  # south up
    ],
)
def test_other_pixels_are_left_to_gdal(transform: Affine) -> None:
    block = SourceBlock(np.ones((1, 48, 48), np.float32), UTM33, Affine(2, 0, WEST, 0, -2, NORTH), "fine.tif")
    assert block.means(Place(UTM33, transform, 12, 12)) is None
    assert block.means(Place(CRS.from_epsg(32632), Affine(8, 0, WEST, 0, -8, NORTH), 12, 12)) is None
    assert block.means(Place(UTM33, Affine(8, 0, WEST, 0, -8, NORTH), 12, 12)) is not None


def test_pixels_beyond_the_grid_are_real_ones(tmp_path: Path) -> None:
    values = np.arange(1600, dtype=np.float32).reshape(40, 40)
    path = fine(tmp_path / "dem.tif", values, 8)
    whole = aligned(path, grid_of(8, 40)).read(0, 0, 40, 40)
    small = aligned(path, grid_of(8, 40).part(10, 10, 5, 5))
    assert np.array_equal(small.read(-10, -10, 40, 40), whole)
    assert np.isnan(small.read(-12, -10, 2, 40)).all()


def test_a_void_ends_where_its_pixel_ends(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(20) * 30.0, np.arange(20) * 30.0)
    values = terrain(x, y).astype(np.float32)
    values[8:11, 5:9] = -9999
    layer = aligned(fine(tmp_path / "dem.tif", values, 30, nodata=-9999), grid_of(10, 60))
    out = layer.read(0, 0, 60, 60)[0]
    expected = np.zeros((60, 60), dtype=bool)
    expected[24:33, 15:27] = True
    assert np.array_equal(np.isnan(out), expected)
    assert out[~expected].min() > 50


def test_tiles_are_one_raster(tmp_path: Path) -> None:
    whole = cop30(tmp_path / "whole.tif", lon=15.2, lat=47.9, size=40)
    file = inspect_raster(str(whole))
    with RasterReader() as reader:
        values = reader.read(file, Window(0, 0, 40, 40))
    tiles = []
    for i, (row, col, height, width) in enumerate([(0, 0, 17, 23), (0, 23, 17, 17), (17, 0, 23, 23), (17, 23, 23, 17)]):
        place = file.transform * Affine.translation(col, row)
        part = np.ascontiguousarray(values[:, row : row + height, col : col + width])
        tiles.append(write_raster(tmp_path / f"{i}.tif", part, crs="EPSG:4326", transform=place))
    grid = snapped_grid(UTM33, 8, (514_700, 5_305_000, 515_200, 5_305_500))
    mosaics = group_mosaics([inspect_raster(str(tile)) for tile in tiles])
    assert len(mosaics) == 1
    sampling = Sampling(Resampling.average, Resampling.cubic, lambda pixels: pixels)
    tiled = AlignedLayer(mosaics, grid, reader=RasterReader(), sampling=sampling)
    assert tiled.read(0, 0, 60, 60) == pytest.approx(aligned(whole, grid).read(0, 0, 60, 60), abs=1e-5, nan_ok=True)
    assert np.isfinite(tiled.read(0, 0, 60, 60)).any()


@pytest.mark.parametrize("latitude", [50, 60, 70, 80])
def test_no_step_where_the_columns_of_glo30_change(tmp_path: Path, latitude: int) -> None:
    """Tiles on both sides have pixels of other widths; on a slope of 20 % their edge must not show."""
    crs = utm(15.2, latitude)
    (east,), (north,) = transform("EPSG:4326", crs, [15.2], [float(latitude)])

    def plane(x: Array, y: Array) -> Array:
        heights: Array = 500 + 0.1 * (x - east) + 0.2 * (y - north)
        return heights

    tiles = []
    for south, columns in ((latitude, {50: 2400, 60: 1800, 70: 1200, 80: 720}[latitude]),
                           (latitude - 1, {50: 3600, 60: 2400, 70: 1800, 80: 1200}[latitude])):  # fmt: skip
        dx, dy, rows = 1 / columns, 1 / 3600, 60
        row0 = 3540 if south == latitude else 0  # the southernmost, or the northernmost rows of the tile
        place = Affine(dx, 0, 15.2 - 20 * dx - dx / 2, 0, -dy, south + 1 + dy / 2 - row0 * dy)
        cols, lines = np.meshgrid(np.arange(40) + 0.5, np.arange(rows) + 0.5)
        x, y = transform("EPSG:4326", crs, (place.c + cols * dx).ravel(), (place.f - lines * dy).ravel())
        heights = plane(np.array(x), np.array(y)).reshape(cols.shape).astype(np.float32)
        tiles.append(write_raster(tmp_path / f"{south}.tif", heights, crs="EPSG:4326", transform=place))
    mosaics = group_mosaics([inspect_raster(str(tile)) for tile in tiles])
    assert len(mosaics) == 2
    grid = snapped_grid(CRS.from_string(crs), 8, (east - 150, north - 400, east + 150, north + 400))
    sampling = Sampling(Resampling.average, Resampling.cubic, lambda values: values)
    out = AlignedLayer(mosaics, grid, reader=RasterReader(), sampling=sampling).read(0, 0, grid.height, grid.width)[0]
    gx, gy = np.meshgrid(np.arange(grid.width) * 8 + 4, np.arange(grid.height) * 8 + 4)
    assert out == pytest.approx(plane(grid.bounds[0] + gx, grid.bounds[3] - gy), abs=0.02)


def slope(east: Array, lat: Array) -> Array:
    """Heights on an incline, for degrees east of the antimeridian and degrees north."""
    heights: Array = 500 + 10_000 * east + 20_000 * (lat + 16.8)
    return heights


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4720"])
@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize(("side", "finer"), [(1 / 3600, False), (1 / 60000, True)])
def test_no_step_at_the_antimeridian(tmp_path: Path, crs: str, shift: float, side: float, finer: bool) -> None:
    """Whether heights are interpolated or averaged, on one lattice of pixels or two, and with a change of datum."""
    files = []
    cols, rows = np.meshgrid(np.arange(60) + 0.5, np.arange(60) + 0.5)
    for west, edge, offset in ((180 - 60 * side, 180, 0.0), (-180, -180, shift)):
        place = Affine(side, 0, west, 0, -side, -16.8 + (30 + offset) * side)
        heights = slope(place.c + cols * side - edge, place.f - rows * side).astype(np.float32)
        tile = write_raster(tmp_path / f"{edge}.tif", heights, crs=crs, transform=place)
        files.append(inspect_raster(str(tile)))
    (x,), (y,) = transform(crs, "EPSG:32701", [180.0], [-16.8])
    half = 15 * side * 111_000
    grid = snapped_grid(CRS.from_epsg(32701), 8, (x - half, y - half, x + half, y + half))
    sampling = Sampling(Resampling.average, Resampling.cubic, lambda values: values)
    layer = AlignedLayer(group_mosaics(files), grid, reader=RasterReader(), sampling=sampling)
    out = layer.read(0, 0, grid.height, grid.width)[0]
    gx, gy = np.meshgrid(np.arange(grid.width) * 8 + 4, np.arange(grid.height) * 8 + 4)
    lon, lat = transform("EPSG:32701", crs, (grid.bounds[0] + gx).ravel(), (grid.bounds[3] - gy).ravel())
    expected = slope(np.mod(lon, 360) - 180, np.array(lat)).reshape(gx.shape)
    # Averages are those of whole pixels of the source.
    assert np.abs(out - expected).max() < (20_000 * side if finer else 0.002)


def test_a_rotated_source(tmp_path: Path) -> None:
    transform = Affine.translation(WEST, NORTH) * Affine.rotation(30) * Affine.scale(30, -30)
    cols, rows = np.meshgrid(np.arange(60) + 0.5, np.arange(60) + 0.5)
    x, y = transform.a * cols + transform.b * rows, transform.d * cols + transform.e * rows
    plane = (100 + 0.01 * x + 0.02 * y).astype(np.float32)
    path = write_raster(tmp_path / "dem.tif", plane, crs="EPSG:32633", transform=transform)
    grid = snapped_grid(UTM33, 8, (WEST + 1000, NORTH - 600, WEST + 1300, NORTH - 300))
    out = aligned(path, grid).read(0, 0, grid.height, grid.width)[0]
    gx, gy = np.meshgrid(np.arange(grid.width) * 8 + 4 + 1000, grid.bounds[3] - NORTH - np.arange(grid.height) * 8 - 4)
    assert np.isfinite(out).all()
    assert out == pytest.approx(100 + 0.01 * (gx + grid.bounds[0] - WEST - 1000) + 0.02 * gy, abs=1e-3)


def test_overviews_serve_imagery_by_a_fixed_rule(tmp_path: Path) -> None:
    import rasterio

    path = fine(tmp_path / "ortho.tif", np.full((3, 512, 512), 100, np.uint8), 0.5)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8, 16], Resampling.nearest)
    # 0.5 m x 8 = 4 m: two of them to a target pixel of 8 m. Marked, to see which level is read.
    with rasterio.open(path, "r+", overview_level=2) as dataset:
        dataset.write(np.full((3, 64, 64), 200, np.uint8))
    with RasterReader() as reader:
        layer = image_layer(open_image([str(path)]), grid_of(8, 30), reader=reader, stretch=None)
        assert (layer.read(0, 0, 30, 30) == 200).all()
        heights = HeightLayers([inspect_raster(str(path)).with_bands([1])], grid_of(8, 30), reader=reader, water=False)
        assert (heights.heights.read(0, 0, 30, 30) == 100).all()


def test_land_use_by_majority(tmp_path: Path) -> None:
    codes = np.full((8, 8), 31000, dtype=np.int32)
    codes[:4, :3] = 11210
    path = fine(tmp_path / "use.tif", codes, 2, nodata=0)
    with RasterReader() as reader:
        layer = land_use_layer(open_land_use([str(path)]), grid_of(8, 2), reader=reader)
        assert layer.read(0, 0, 2, 2)[0].tolist() == [[1, 10], [10, 10]]


def test_all_urban_atlas_codes() -> None:
    codes = [11100, 11240, 12100, 12220, 13100, 13400, 14100, 14200, 21000, 22000, 23000, 24000, 25000, 31000, 32000,
             33000, 40000, 50000, 91000, 92000]  # fmt: skip
    classes = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0]
    found = classes_of(np.array([codes], np.float32), name="use.tif")
    assert found[0].tolist() == classes
    assert classes_of(np.array([[0, 14, 15, np.nan]], np.float32), name="x")[0, :3].tolist() == [0, 14, 0]


@pytest.mark.parametrize("value", [16, -1, 2.5, 60000, 255, 123456])
def test_codes_outside_the_table_are_named(value: float) -> None:
    with pytest.raises(ReadFailed, match=r"use\.tif holds the land use value"):
        classes_of(np.array([[1, value]], np.float32), name="use.tif")


def test_one_hot_classes() -> None:
    stack = np.zeros((15, 1, 3), np.float32)
    stack[7, 0, 0] = 1
    stack[:, 0, 2] = np.nan
    assert classes_of_stack(stack, name="x")[0, :2].tolist() == [7, 0]
    assert np.isnan(classes_of_stack(stack, name="x")[0, 2])
    stack[3, 0, 0] = 1
    with pytest.raises(ReadFailed, match=r"use\.tif has 15 bands that are not one class each"):
        classes_of_stack(stack, name="use.tif")


def test_canopy_below_ground_is_none(tmp_path: Path) -> None:
    path = fine(tmp_path / "chm.tif", np.array([[-5, 3], [4, 8]], np.int16), 8)
    with RasterReader() as reader:
        layer = canopy_layer(open_canopy([str(path)]), grid_of(16, 1), reader=reader)
        assert layer.read(0, 0, 1, 1)[0, 0, 0] == pytest.approx((0 + 3 + 4 + 8) / 4)


def test_flat_water_is_three_by_three_of_one_value() -> None:
    heights = np.arange(400, dtype=np.float32).reshape(20, 20)
    heights[3:6, 3:6] = 7
    heights[10:12, 3:9] = 9  # two rows only: no water
    heights[15:19, 15:19] = np.nan
    heights[13:15, 15:18] = 11  # beside a void
    level, share = flat_water(heights)
    assert (share[2:7, 2:7] == 1).all()
    assert share[np.isfinite(share)].sum() == 25 + 16
    assert (level[13:15, 15:18] == 11).all()
    assert (level[3:6, 3:6] == 7).all()
    assert np.isnan(level[10:12, 3:9]).all()


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    path = fine(tmp_path / "dem.tif", np.random.default_rng(0).random((256, 256)).astype(np.float32), 8)
    file = inspect_raster(str(path))
    path.write_bytes(path.read_bytes()[: 256 * 256 * 2])
    with RasterReader() as reader, pytest.raises(ReadFailed, match=r"dem\.tif broke off"):
        reader.read(file, Window(0, 0, 256, 256))


def test_no_more_open_files_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_cli.raster.reader.MAX_OPEN", 2)
    files = [inspect_raster(str(fine(tmp_path / f"{i}.tif", np.full((2, 2), i, np.float32), 8))) for i in range(4)]
    with RasterReader() as reader:
        for _ in range(2):
            assert [reader.read(f, Window(0, 0, 1, 1))[0, 0, 0] for f in files] == [0, 1, 2, 3]


def test_blocks_keep_source_pixels_bounded(tmp_path: Path) -> None:
    path = fine(tmp_path / "ortho.tif", np.zeros((3, 200, 200), np.uint8), 0.1)
    layer = aligned(path, grid_of(8, 100))
    assert (layer._block * 80) ** 2 <= align.BLOCK_SOURCE_PIXELS * 1.2
