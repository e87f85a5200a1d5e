"""Contracts 1 and 2 where areas are strange: tiny, between zones, in several CRSs, bounded by polygons."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window

from jspsr_cli.errors import NoOverlap
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.polygons import read_area
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from tests.scenes import (
    Array,
    bicubic,
    centres,
    cop30,
    guide_over,
    heights_of,
    identity,
    piece,
    vector,
    weights_info,
    write_raster,
)  # fmt: skip

MILLIMETRE = 1e-3


def run(output: Path, dem: Sequence[Path], guides: Sequence[Path], **choices: Any) -> EnhanceReport:
    """Enhance with a network that returns its DEM."""
    options = EnhanceOptions(**{"window": 64, "overwrite": True, **choices})
    network: Any = identity
    return enhance(dem, output=output, image=guides, weights=(network, weights_info("image")), options=options)


def check(output: Path, whole: Path, *, share: float = 1.0) -> Array:
    """That the output is the bicubic DEM to 1 mm, and that on `share` of it at least; returns its heights."""
    heights = heights_of(output)
    error = np.abs(heights - bicubic(whole, *centres(output)))
    assert np.isfinite(error).mean() >= share
    assert np.nanmax(error) < MILLIMETRE
    return heights


# Small


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_a_few_pixels(tmp_path: Path, size: int) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=47.0, size=20)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32632", resolution=4)
    with rasterio.open(guide) as dataset:
        west, north = round(dataset.bounds.left / 8) * 8 + 80, round(dataset.bounds.top / 8) * 8 - 80
    bounds = (west, north - 8 * size, west + 8 * size, north)
    report = run(tmp_path / "out.tif", [dem], [guide], bounds=bounds)
    assert (report.bounds, report.pixels_written) == (bounds, size * size)
    check(tmp_path / "out.tif", dem)
    tiny = write_raster(tmp_path / "tiny.tif", np.ones((3, size, size), np.uint8), crs="EPSG:32632",
                        transform=Affine(8, 0, west, 0, -8, north))  # fmt: skip
    report = run(tmp_path / "out.tif", [dem], [tiny])
    assert (report.bounds, report.pixels_written) == (bounds, size * size)
    check(tmp_path / "out.tif", dem)


@pytest.mark.parametrize(("cols", "rows"), [(1, 0), (0, 1), (1, 1), (-1, 0), (-1, -1)])
def test_an_overlap_of_one_pixel(tmp_path: Path, cols: int, rows: int) -> None:
    """The guide's last, or first, column or row lies over the edge of the DEM, or just its corner."""
    place = Affine(8, 0, 500_000, 0, -8, 5_300_000)
    heights = np.random.default_rng(0).uniform(100, 120, (30, 30)).astype(np.float32)
    dem = write_raster(tmp_path / "dem.tif", heights, crs="EPSG:32632", transform=place)
    place @= Affine.translation(29 * cols, 29 * rows)
    guide = write_raster(tmp_path / "guide.tif", np.ones((3, 30, 30), np.uint8), crs="EPSG:32632", transform=place)
    report = run(tmp_path / "out.tif", [dem], [guide])
    common = heights[slice(-1, None) if rows > 0 else slice(0, 1) if rows else slice(None)]
    common = common[:, slice(-1, None) if cols > 0 else slice(0, 1) if cols else slice(None)]
    assert report.pixels_written == (30 if 0 in (cols, rows) else 1)
    assert heights_of(tmp_path / "out.tif") == pytest.approx(common, abs=MILLIMETRE)
    apart = write_raster(tmp_path / "apart.tif", np.ones((3, 30, 30), np.uint8), crs="EPSG:32632",
                         transform=place @ Affine.translation(cols, rows))  # fmt: skip
    with pytest.raises(NoOverlap, match=r"dem.tif.*apart.tif do not overlap"):
        run(tmp_path / "out.tif", [dem], [apart])


# Zones, hemispheres, several CRSs


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [(6.0 + 2e-3, 47.0, 32632), (6.0 - 2e-3, 47.0, 32631), (26.9, 65.0, 32635), (15.0, 72.3, 32633),
     (146.8, -43.2, 32755), (37.0, 1e-3, 32637), (37.0, -1e-3, 32737)],
)  # fmt: skip
def test_the_zone_of_the_middle(tmp_path: Path, lon: float, lat: float, code: int) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=lon, lat=lat, size=40)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:4326", resolution=5e-5, share=0.7)
    report = run(tmp_path / "out.tif", [dem], [guide])
    assert report.crs == f"EPSG:{code}"
    check(tmp_path / "out.tif", dem, share=0.85)


def test_guides_in_several_crss(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=6.0, lat=47.0, size=40)
    guides = []
    for i, crs in enumerate(("EPSG:32631", "EPSG:32632", "EPSG:2154", "EPSG:4326")):
        part = piece(tmp_path / f"part{i}.tif", dem, Window(4 + i % 2 * 15, 4 + i // 2 * 15, 17, 17))
        resolution = 5e-5 if crs == "EPSG:4326" else 5
        guides.append(guide_over(tmp_path / f"{i}.tif", part, crs=crs, resolution=resolution, share=1))
    report = run(tmp_path / "out.tif", [dem], guides)
    assert report.crs == "EPSG:32631"
    check(tmp_path / "out.tif", dem, share=0.9)


def test_tiles_in_several_crss(tmp_path: Path) -> None:
    degrees = cop30(tmp_path / "degrees.tif", lon=6.0, lat=47.0, size=40)
    (x,), (y,) = rasterio.warp.transform("EPSG:4326", "EPSG:32632", [6.0], [47.0])
    heights = np.random.default_rng(0).uniform(500, 520, (30, 30)).astype(np.float32)
    place = Affine(30, 0, x + 100, 0, -30, y + 400)
    metres = write_raster(tmp_path / "metres.tif", heights, crs="EPSG:32632", transform=place)
    guide = guide_over(tmp_path / "guide.tif", degrees, crs="EPSG:32631", resolution=5, share=1.4)
    run(tmp_path / "out.tif", [degrees, metres], [guide])
    out, places = heights_of(tmp_path / "out.tif"), centres(tmp_path / "out.tif")
    first, second = bicubic(degrees, *places), bicubic(metres, *places)
    assert np.abs(out - first)[np.isfinite(first)].max() < MILLIMETRE
    # Beyond the first tile, where its own kernel and the void's edge do not reach.
    lon, _ = pyproj.Transformer.from_crs(places[2], "EPSG:4326", always_xy=True).transform(*places[:2])
    alone = np.isfinite(second) & (lon > rasterio.open(degrees).bounds.right + 1e-3)
    assert alone.sum() > 100
    assert np.abs(out - second)[alone].max() < MILLIMETRE


# Polygons


def in_crs(shape: shapely.Geometry, crs: str) -> shapely.Geometry:
    project = pyproj.Transformer.from_crs("EPSG:32632", crs, always_xy=True).transform
    return shapely.transform(shapely.segmentize(shape, 5), lambda xy: np.stack(project(*xy.T), axis=1))


def lifted(shape: shapely.Geometry) -> shapely.Geometry:
    return shapely.force_3d(shape, 350.0)


@pytest.mark.parametrize(
    ("name", "crs", "change"),
    [("area.geojson", "EPSG:4326", None), ("area.gpkg", "EPSG:32632", None), ("area.shp", "EPSG:3035", None),
     ("area.fgb", "EPSG:2056", None), ("area.gpkg", "EPSG:4326", lifted), ("area.shp", "EPSG:32632", lifted)],
)  # fmt: skip
def test_holes_and_several_features(
    tmp_path: Path, name: str, crs: str, change: Callable[[shapely.Geometry], shapely.Geometry] | None
) -> None:
    """The output has data where the polygons are, and nowhere else."""
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=47.0, size=20)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32632", resolution=4, share=0.9)
    with rasterio.open(guide) as dataset:
        x, y = dataset.bounds.left, dataset.bounds.bottom
    holed = shapely.Polygon(shapely.box(x + 50, y + 50, x + 250, y + 250).exterior,
                            [shapely.box(x + 100, y + 120, x + 170, y + 200).exterior])  # fmt: skip
    other = shapely.box(x + 220, y + 100, x + 320, y + 330)
    thin = shapely.box(x + 330, y + 100, x + 338, y + 330)  # the width of one pixel
    shapes = [in_crs(shape, crs) for shape in (holed, other, thin)]
    area = vector(tmp_path / name, [change(shape) for shape in shapes] if change else shapes, crs=crs)
    run(tmp_path / "out.tif", [dem], [guide], geometry=str(area))
    heights = check(tmp_path / "out.tif", dem, share=0.3)
    px, py, _ = centres(tmp_path / "out.tif")
    wanted = shapely.union_all([holed, other, thin])
    sure = shapely.distance(wanted.boundary, shapely.points(px, py)) > 0.01
    assert np.array_equal(np.isfinite(heights)[sure], shapely.contains_xy(wanted, px, py)[sure])
    assert sure.mean() > 0.99


@pytest.mark.parametrize(
    ("shape", "size"),
    [(shapely.Polygon(shapely.box(0, 0, 4, 4).exterior, [shapely.box(2, 1, 4, 2).exterior]), 14),
     (shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)]), 7),
     (shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), 2),
     (shapely.Polygon(shapely.box(0, 0, 4, 4).exterior, [shapely.box(6, 1, 7, 2).exterior]), 16),
     (shapely.Polygon(shapely.box(0, 0, 4, 4).exterior, [shapely.box(3, 1, 6, 2).exterior]), 15)],
    ids=["hole at the rim", "parts that overlap", "crossed over", "hole elsewhere", "hole beyond the rim"],
)  # fmt: skip
def test_polygons_that_break_the_rules(tmp_path: Path, shape: shapely.Geometry, size: float) -> None:
    assert read_area(str(vector(tmp_path / "area.gpkg", [shape]))).shape.area == pytest.approx(size)


# Areas beyond the data


@pytest.mark.parametrize(
    ("grow", "said"),
    [((0, 0), []), ((0, 0.01), []), ((0.25, 0), ["20% of the area asked for lies off guide.tif"]),
     ((2, 2), ["40% of the area asked for lies off dem.tif", "89% of the area asked for lies off guide.tif"])],
)  # fmt: skip
def test_what_no_input_covers_is_said(tmp_path: Path, grow: tuple[float, float], said: list[str]) -> None:
    """Bounds are kept as they were asked for; what reaches beyond the inputs is told in per cent."""
    dem = cop30(tmp_path / "dem.tif", lon=9.0, lat=47.0, size=80)  # 837 m eastwards, 1236 m northwards
    west, north, side = 499_720, 5_205_440, 560
    guide = write_raster(tmp_path / "guide.tif", np.ones((3, 70, 70), np.uint8), crs="EPSG:32632",
                         transform=Affine(8, 0, west, 0, -8, north))  # fmt: skip
    bounds = (west, north - side, west + side * (1 + grow[0]), north + side * grow[1])
    report = run(tmp_path / "out.tif", [dem], [guide], bounds=bounds)
    assert [warning.partition(":")[0] for warning in report.warnings] == said
    assert report.bounds == pytest.approx(bounds, abs=8)
    ring = shapely.box(*bounds).difference(shapely.box(west, north - side, west + side, north).buffer(-80))
    area = vector(tmp_path / "area.gpkg", [ring], crs="EPSG:32632")
    off = run(tmp_path / "out.tif", [dem], [guide], geometry=str(area)).warnings[-1:]
    share = (ring.area - side**2 + (side - 160) ** 2) / ring.area
    assert bool(off) == (share > 0.01)
    if off:
        assert float(off[0].partition("%")[0]) == pytest.approx(100 * share, abs=2)


def test_little_less_than_all_is_not_said_to_be_all(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=9.0, lat=47.0, size=80)
    place = Affine(8, 0, 499_720, 0, -8, 5_205_440)
    guide = write_raster(tmp_path / "guide.tif", np.ones((3, 70, 70), np.uint8), crs="EPSG:32632", transform=place)
    report = run(tmp_path / "out.tif", [dem], [guide], bounds=(499_720, 5_204_880, 699_720, 5_205_440))
    assert "over 99% of the area asked for lies off guide.tif" in " ".join(report.warnings)


def test_the_world_is_all_of_the_input(tmp_path: Path) -> None:
    """A box or a polygon too wide to be projected asks for all that there is."""
    dem = cop30(tmp_path / "dem.tif", lon=9.1, lat=47.0, size=20)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32632", resolution=8)
    world = shapely.box(-180, -90, 180, 90)
    run(tmp_path / "box.tif", [dem], [guide], bounds=(-180.0, -90.0, 180.0, 90.0))
    polygons = vector(tmp_path / "world.geojson", [world])
    run(tmp_path / "polygon.tif", [dem], [guide], geometry=str(polygons))
    run(tmp_path / "all.tif", [dem], [guide])
    wanted = np.isfinite(heights_of(tmp_path / "all.tif")).sum()
    for name in ("box.tif", "polygon.tif"):
        assert np.isfinite(heights_of(tmp_path / name)).sum() == wanted


def test_polygons_in_a_collection(tmp_path: Path) -> None:
    mixed = shapely.GeometryCollection([shapely.Point(9, 47), shapely.box(9, 47, 9.1, 47.1)])
    assert read_area(str(vector(tmp_path / "area.geojson", [mixed]))).shape.area == pytest.approx(0.01)
