"""DEMs of every form: tiles, voids, flat water and odd encodings; and the polygon that bounds the work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.warp
import shapely
import torch
from affine import Affine
from rasterio.windows import Window

from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.water import shore_weight
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from jspsr_cli.types import FloatArray
from tests.scenes import (
    Array,
    bicubic,
    centres,
    cop30,
    guide_over,
    heights_of,
    identity,
    terrain,
    utm,
    weights_info,
    write_raster,
)

LON, LAT = 7.2, 45.0
CRS = utm(LON, LAT)
WEST, NORTH = 500_000.0, 5_000_000.0

#: Side of a DEM pixel in metres where a test needs whole target pixels in it, and how many of them.
SIDE, PER_SIDE = 32.0, 4

#: Rows and columns of the DEM that are a lake, and its level.
LAKE = (slice(14, 22), slice(16, 27))
LEVEL, BANK = 140.0, 20.0


def run(dem: Path | list[Path], guide: Path, output: Path, *, network: Any = identity, **options: Any) -> EnhanceReport:
    weights = (network, weights_info("image"))
    return enhance(dem, output=output, image=[guide], weights=weights, options=EnhanceOptions(**options))


def tile(path: Path, source: Path, window: Window) -> Path:
    with rasterio.open(source) as dataset:
        values, place = dataset.read(1, window=window), dataset.window_transform(window)
    return write_raster(path, values, crs="EPSG:4326", transform=place)


@pytest.mark.parametrize("overlap", [0, 3])
def test_tiles_equal_one_file(tmp_path: Path, overlap: int) -> None:
    whole = cop30(tmp_path / "whole.tif", lon=LON, lat=LAT)
    guide = guide_over(tmp_path / "guide.tif", whole, crs=CRS, resolution=8)
    boxes = [(0, 0), (0, 30), (30, 0), (30, 30)]
    tiles = [
        tile(
            tmp_path / f"{col}_{row}.tif",
            whole,
            Window(col, row, 30 + min(30 - col, overlap), 30 + min(30 - row, overlap)),
        )
        for row, col in boxes
    ]
    run(whole, guide, tmp_path / "one.tif", guide_gaps="dem")
    run(tiles[::-1], guide, tmp_path / "four.tif", guide_gaps="dem")
    one, four = heights_of(tmp_path / "one.tif"), heights_of(tmp_path / "four.tif")
    assert np.isfinite(one).all()
    np.testing.assert_allclose(four, one, atol=1e-4, rtol=0)


def test_a_missing_tile_is_a_void(tmp_path: Path) -> None:
    whole = cop30(tmp_path / "whole.tif", lon=LON, lat=LAT)
    guide = guide_over(tmp_path / "guide.tif", whole, crs=CRS, resolution=8)
    tiles = [tile(tmp_path / f"{i}.tif", whole, Window(*w)) for i, w in enumerate([(0, 0, 60, 30), (0, 30, 25, 30)])]
    run(tiles, guide, tmp_path / "out.tif", guide_gaps="dem")
    x, y, crs = centres(tmp_path / "out.tif")
    lon, lat = (np.array(v).reshape(x.shape) for v in rasterio.warp.transform(crs, "EPSG:4326", x.ravel(), y.ravel()))
    with rasterio.open(whole) as dataset:
        col, row = ~dataset.transform * (lon, lat)
    np.testing.assert_array_equal(np.isnan(heights_of(tmp_path / "out.tif")), (row >= 30) & (col >= 25))


VOIDS: dict[str, dict[str, Any]] = {
    "-9999": {"under": -9999, "nodata": -9999},
    "-32767": {"under": -32767, "nodata": -32767},
    "float32 minimum": {"under": np.finfo(np.float32).min, "nodata": float(np.finfo(np.float32).min)},
    "NaN": {"under": np.nan, "nodata": np.nan},
    "mask over 0": {"under": 0},
    "mask over 5000": {"under": 5000},
    "not tagged": {"under": -9999},
}


def test_voids_of_every_kind_give_the_same_bytes(tmp_path: Path) -> None:
    whole = cop30(tmp_path / "whole.tif", lon=LON, lat=LAT)
    guide = guide_over(tmp_path / "guide.tif", whole, crs=CRS, resolution=8)
    with rasterio.open(whole) as dataset:
        heights, place = dataset.read(1), dataset.transform
    void = np.zeros(heights.shape, dtype=bool)
    void[20:33, 24:40] = True
    void[40, 40] = True
    outputs = set()
    for name, (kind, how) in enumerate(VOIDS.items()):
        folder = tmp_path / str(name)
        folder.mkdir()
        values = np.where(void, np.float32(how["under"]), heights)
        mask = {"mask": ~void} if kind.startswith("mask") else {}
        dem = write_raster(
            folder / "dem.tif", values, crs="EPSG:4326", transform=place, nodata=how.get("nodata"), **mask
        )
        report = run(dem, guide, folder / "out.tif", guide_gaps="dem")
        assert bool(report.warnings) == (kind == "not tagged")
        outputs.add((folder / "out.tif").read_bytes())
    assert len(outputs) == 1
    assert 0.03 < np.isnan(heights_of(folder / "out.tif")).mean() < 0.2


def square(path: Path, heights: Array, **profile: Any) -> Path:
    """A DEM whose pixels are whole blocks of target pixels."""
    return write_raster(path, heights, crs=CRS, transform=Affine(SIDE, 0, WEST, 0, -SIDE, NORTH), **profile)


def scene(tmp_path: Path, heights: Array, **profile: Any) -> tuple[Path, Path]:
    dem = square(tmp_path / "dem.tif", heights, **profile)
    rows, cols = heights.shape
    image = np.random.default_rng(8).integers(0, 256, (3, rows * PER_SIDE, cols * PER_SIDE)).astype(np.uint8)
    place = Affine(SIDE / PER_SIDE, 0, WEST, 0, -SIDE / PER_SIDE, NORTH)
    return dem, write_raster(tmp_path / "guide.tif", image, crs=CRS, transform=place)


def hills(rows: int = 40, cols: int = 44) -> Array:
    x, y = np.meshgrid(np.arange(cols) * SIDE, np.arange(rows) * SIDE)
    heights: Array = (terrain(x, y) + 50).astype(np.float32)
    return heights


def rough(dem: torch.Tensor, *, image: torch.Tensor) -> torch.Tensor:
    """Metres of noise, as an untrained network would make of water."""
    return dem + 0.02 * (image[:, :1] - 0.5)


def test_flat_water_stays_flat_and_its_banks_stay(tmp_path: Path) -> None:
    heights = hills()
    heights[LAKE] = LEVEL
    dem, guide = scene(tmp_path, heights)
    rows, cols = (slice(s.start * PER_SIDE, s.stop * PER_SIDE) for s in LAKE)
    run(dem, guide, tmp_path / "rough.tif", network=rough)
    np.testing.assert_allclose(heights_of(tmp_path / "rough.tif")[rows, cols], LEVEL, atol=0.1)
    run(dem, guide, tmp_path / "network.tif", network=rough, water="network")
    assert np.ptp(heights_of(tmp_path / "network.tif")[rows, cols]) > 1
    run(dem, guide, tmp_path / "kept.tif")
    kept, warped = heights_of(tmp_path / "kept.tif"), bicubic(dem, *centres(tmp_path / "kept.tif"))
    land = np.isfinite(warped)
    land[rows.start - PER_SIDE : rows.stop + PER_SIDE, cols.start - PER_SIDE : cols.stop + PER_SIDE] = False
    np.testing.assert_allclose(kept[land], warped[land], atol=1e-3, rtol=0)


@pytest.mark.parametrize("columns", [2, 3, 6])
def test_water_is_flat_up_to_where_a_dem_ends(tmp_path: Path, columns: int) -> None:
    """Some columns of a lake are left in a raster that was cut out of a larger one, or void beyond them."""
    heights = hills()
    heights[LAKE] = LEVEL
    edge = LAKE[1].start + columns
    heights[LAKE[0].start - 1, edge - 2 : edge] = LEVEL  # a step of the shore, at the edge
    dem, guide = scene(tmp_path, heights[:, :edge].copy())
    run(dem, guide, tmp_path / "cut.tif", network=rough)
    void = np.where(np.arange(heights.shape[1]) < edge, heights, np.float32(np.nan))
    run(square(tmp_path / "void.tif", void), guide, tmp_path / "out.tif", network=rough)
    rows = slice(LAKE[0].start * PER_SIDE, LAKE[0].stop * PER_SIDE)
    for name in ("cut.tif", "out.tif"):
        lake = heights_of(tmp_path / name)[rows, LAKE[1].start * PER_SIDE : edge * PER_SIDE]
        assert lake.shape[1] == columns * PER_SIDE
        np.testing.assert_allclose(lake, LEVEL, atol=0.1)
        step = slice(rows.start - PER_SIDE, rows.start), slice((edge - 2) * PER_SIDE, edge * PER_SIDE)
        np.testing.assert_allclose(heights_of(tmp_path / name)[step], LEVEL, atol=0.1)


def test_a_shore_is_a_slope(tmp_path: Path) -> None:
    """A level bank above a lake: all of the rise in one target pixel would be a wall."""
    heights = np.full((40, 44), LEVEL + BANK, dtype=np.float32)
    heights += np.random.default_rng(9).uniform(0, 0.01, heights.shape).astype(np.float32)  # land is never flat
    heights[LAKE] = LEVEL
    dem, guide = scene(tmp_path, heights)
    run(dem, guide, tmp_path / "out.tif")
    out = heights_of(tmp_path / "out.tif")
    steps = max(np.abs(np.diff(out, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.75 * BANK
    assert out.min() > LEVEL - 0.1
    assert out.max() < LEVEL + 1.2 * BANK


def test_the_share_of_water_is_left_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs as much as the heights, and shores are the same without it."""
    heights = hills()
    heights[LAKE] = LEVEL
    files = [inspect_raster(str(square(tmp_path / "dem.tif", heights))).with_bands([1])]
    side = SIDE / PER_SIDE
    grid = Grid(
        crs=rasterio.CRS.from_user_input(CRS),
        transform=Affine(side, 0, WEST, 0, -side, NORTH),
        width=40 * PER_SIDE,
        height=40 * PER_SIDE,
    )
    read, pixels = AlignedLayer.read, []

    def counting(self: AlignedLayer, row: int, col: int, height: int, width: int) -> FloatArray:
        pixels.append(height * width)
        return read(self, row, col, height, width)

    monkeypatch.setattr(AlignedLayer, "read", counting)
    with RasterReader() as reader:
        water = HeightLayers(files, grid, reader=reader, water=True).water
        assert water
        whole = [layer.read(0, 0, 160, 160)[0] for layer in (water._level, water._share)]
        weight = shore_weight(whole[1]) * ~np.isnan(whole[0])
        assert 0 < (weight == 1).mean() < 0.5
        pixels.clear()
        for row in range(0, 160, 32):
            level, share = water.read(row, 0, 32, 160)
            assert np.array_equal(level, whole[0][row : row + 32], equal_nan=True)
            np.testing.assert_allclose(
                shore_weight(share) * ~np.isnan(level), weight[row : row + 32], atol=1e-5, rtol=0
            )
    assert sum(pixels) < 1.25 * 160 * 160


@pytest.mark.parametrize("step", [1, 0.5, 0.1, 0.01])
def test_rounded_land_is_not_taken_for_water(tmp_path: Path, step: float) -> None:
    gentle = hills() / 200 * 10 * step  # level over several pixels when rounded
    dem, guide = scene(tmp_path, (np.round(gentle / step) * step).astype(np.float32))
    report = run(dem, guide, tmp_path / "out.tif")
    warped = bicubic(dem, *centres(tmp_path / "out.tif"))
    known = np.isfinite(warped)
    np.testing.assert_allclose(heights_of(tmp_path / "out.tif")[known], warped[known], atol=1e-3, rtol=0)
    assert any(f"rounded to {step:g} m" in warning for warning in report.warnings)


def south_up(path: Path, heights: Array) -> Path:
    place = Affine(SIDE, 0, WEST, 0, SIDE, NORTH - SIDE * len(heights))
    return write_raster(path, heights[::-1].copy(), crs=CRS, transform=place)


def scaled(path: Path, heights: Array) -> Path:
    """Heights as a product stores them that has centimetres in whole numbers."""
    square(path, np.round((heights - 100) * 100).astype(np.int32))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.01,), (100.0,)
    return path


@pytest.mark.parametrize("form", [south_up, scaled])
def test_odd_encodings_give_the_same_heights(tmp_path: Path, form: Callable[[Path, Array], Path]) -> None:
    dem, guide = scene(tmp_path, hills())
    run(dem, guide, tmp_path / "plain.tif", water="network")
    run(form(tmp_path / "odd.tif", hills()), guide, tmp_path / "odd_out.tif", water="network")
    plain, odd = heights_of(tmp_path / "plain.tif"), heights_of(tmp_path / "odd_out.tif")
    np.testing.assert_allclose(odd, plain, atol=0.01, rtol=0)


# Polygons


def polygon_file(path: Path, shape: shapely.Geometry) -> Path:
    if path.suffix == ".gpkg":
        for layer in ("area", "other"):  # the first layer counts
            content = np.array([shapely.to_wkb(shape)], dtype=object)
            kind = {"geometry_type": "Polygon", "crs": CRS, "append": layer == "other"}
            pyogrio.raw.write(path, content, [], [], layer=layer, **kind)
            shape = shape.buffer(-100)
        return path
    there = shapely.transform(
        shapely.segmentize(shape, 10), lambda xy: np.stack(rasterio.warp.transform(CRS, "EPSG:4326", *xy.T), axis=1)
    )
    path.write_text(
        json.dumps({"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(there))})
    )
    return path


@pytest.mark.parametrize("name", ["area.gpkg", "area.geojson"])
def test_only_the_polygon_less_its_hole(tmp_path: Path, name: str) -> None:
    dem, guide = scene(tmp_path, hills())
    middle = shapely.Point(WEST + 701.3, NORTH - 633.7)
    shape = middle.buffer(420).difference(middle.buffer(133))
    run(dem, guide, tmp_path / "whole.tif")
    run(dem, guide, tmp_path / "part.tif", geometry=str(polygon_file(tmp_path / name, shape)))
    x, y, _ = centres(tmp_path / "part.tif")
    west, south, east, north = shape.bounds
    assert x[0, 0] - 4 == west // 8 * 8
    assert y[0, 0] + 4 == -(-north // 8) * 8
    part, inside = heights_of(tmp_path / "part.tif"), shapely.contains_xy(shape, x, y)
    assert part.shape == (round((y[0, 0] + 4 - south // 8 * 8) / 8), round((-(-east // 8) * 8 - x[0, 0] + 4) / 8))
    np.testing.assert_array_equal(np.isnan(part), ~inside)
    row, col = round((NORTH - y[0, 0]) / 8 - 0.5), round((x[0, 0] - WEST) / 8 - 0.5)
    whole = heights_of(tmp_path / "whole.tif")[row : row + part.shape[0], col : col + part.shape[1]]
    np.testing.assert_allclose(part[inside], whole[inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("south", range(0, 48, 4))
def test_a_small_polygon_anywhere_on_the_lattice_of_windows(tmp_path: Path, south: int) -> None:
    dem, guide = scene(tmp_path, hills())
    north = NORTH - 320 - 8 * south
    box = shapely.box(WEST + 320, north - 80, WEST + 400, north)
    report = run(dem, guide, tmp_path / "out.tif", geometry=str(polygon_file(tmp_path / "area.geojson", box)))
    assert report.pixels_written == 100
