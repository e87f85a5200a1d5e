"""Contracts 1 and 2 across the antimeridian, however the inputs count their longitudes."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window

from jspsr_cli.errors import InvalidGrid, NoOverlap
from jspsr_cli.raster.polygons import read_area
from tests.scenes import Array, centres, cop30, guide_over, piece, vector, write_raster
from tests.test_strange_areas import check, run

#: Taveuni in Fiji, and Wrangel Island: the antimeridian on both hemispheres.
FIJI = {"lon": 180.0, "lat": -16.8}
WRANGEL = {"lon": 180.0, "lat": 71.2}


def halves(source: Path, *, turns: tuple[int, int] = (0, -1)) -> list[Path]:
    """`source` in two tiles that meet at the pixel nearest to the antimeridian."""
    with rasterio.open(source) as dataset:
        col, width, height = round((180 - dataset.bounds.left) / dataset.res[0]), dataset.width, dataset.height
    windows = Window(0, 0, col, height), Window(col, 0, width - col, height)
    return [
        piece(source.with_name(f"{source.stem}_{i}.tif"), source, window, turns=turn)
        for i, (window, turn) in enumerate(zip(windows, turns, strict=True))
    ]


def check_both_sides(output: Path, heights: Array) -> None:
    x, y, crs = centres(output)
    lon, _ = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    valid = np.isfinite(heights)
    assert (valid & (lon > 179)).sum() > 0.3 * valid.sum()
    assert (valid & (lon < -179)).sum() > 0.3 * valid.sum()


@pytest.mark.parametrize(
    ("place", "crs", "turns"),
    [(FIJI, "EPSG:32701", (0, -1)), (FIJI, "EPSG:32760", (0, 0)), (FIJI, "EPSG:32701", (-1, -1)),
     (FIJI, "EPSG:32760", (-1, 0)), (FIJI, "EPSG:3832", (0, -1)), (FIJI, "EPSG:3460", (0, -1)),
     (FIJI, "EPSG:4326", (0, -1)), (FIJI, "EPSG:4326", (-1, 0)), (WRANGEL, "EPSG:32601", (0, -1)),
     (WRANGEL, "EPSG:32660", (0, -1)), (WRANGEL, "EPSG:3571", (-1, 0))],
)  # fmt: skip
def test_two_tiles(tmp_path: Path, place: dict[str, float], crs: str, turns: tuple[int, int]) -> None:
    whole = cop30(tmp_path / "whole.tif", size=40, **place)
    guide = guide_over(tmp_path / "guide.tif", whole, crs=crs, resolution=5e-5 if crs == "EPSG:4326" else 5)
    run(tmp_path / "out.tif", halves(whole, turns=turns), [guide])
    check_both_sides(tmp_path / "out.tif", check(tmp_path / "out.tif", whole, share=0.96))


@pytest.mark.parametrize("turns", [0, -1])
def test_one_raster_and_guides_on_both_sides(tmp_path: Path, turns: int) -> None:
    whole = cop30(tmp_path / "whole.tif", size=40, **FIJI)
    dem = piece(tmp_path / "dem.tif", whole, Window(0, 0, 40, 40), turns=turns)
    guide = guide_over(tmp_path / "guide.tif", whole, crs="EPSG:4326", resolution=5e-5, share=0.9)
    run(tmp_path / "out.tif", [dem], halves(guide))
    check_both_sides(tmp_path / "out.tif", check(tmp_path / "out.tif", whole, share=0.95))


@pytest.mark.parametrize("first", [-180, 0])
def test_a_mosaic_of_the_world(tmp_path: Path, first: int) -> None:
    """Its edge, at the antimeridian or at Greenwich, does not show."""
    size = 2.5
    heights = np.random.default_rng(0).uniform(0, 900, (72, 144)).astype(np.float32)
    place = Affine(size, 0, first, 0, -size, 90)
    world = write_raster(tmp_path / "world.tif", heights, crs="EPSG:4326", transform=place)
    beyond = np.roll(heights, 72, axis=1)
    place = Affine(size, 0, first + 180, 0, -size, 90)
    whole = write_raster(tmp_path / "whole.tif", beyond, crs="EPSG:4326", transform=place)
    east, north = (177_700, 8_141_000) if first else (166_000, 9_990_000)  # at the edge of the mosaic
    photo = np.ones((3, 100, 100), np.uint8)
    guide = write_raster(
        tmp_path / "guide.tif", photo, crs="EPSG:32701" if first else "EPSG:32731",
        transform=Affine(200, 0, east - 10_000, 0, -200, north + 10_000),
    )  # fmt: skip
    run(tmp_path / "out.tif", [world], [guide], resolution=100.0)
    check(tmp_path / "out.tif", whole)


def test_bounds(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", size=40, **FIJI)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32760", resolution=5, share=0.9)
    spellings = [(179.997, -16.803, -179.997, -16.797), (179.997, -16.803, 180.003, -16.797),
                 (-180.003, -16.803, -179.997, -16.797)]  # fmt: skip
    found = []
    for bounds in spellings:
        report = run(tmp_path / "out.tif", [dem], [guide], bounds=bounds)
        check_both_sides(tmp_path / "out.tif", check(tmp_path / "out.tif", dem))
        found.append((report.bounds, report.pixels_written, report.warnings))
    assert found[0] == found[1] == found[2]
    with pytest.raises(NoOverlap, match="lies off"):
        run(tmp_path / "out.tif", [dem], [guide], bounds=(-179.9, -16.803, 179.9, -16.797))


def test_like(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", size=40, **WRANGEL)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32601", resolution=5, share=0.9)
    like = guide_over(tmp_path / "like.tif", dem, crs="EPSG:32660", resolution=7.5, share=0.4)
    run(tmp_path / "out.tif", halves(dem), [guide], like=str(like))
    check_both_sides(tmp_path / "out.tif", check(tmp_path / "out.tif", dem))


EAST, WEST = shapely.box(179.996, -16.803, 180, -16.797), shapely.box(-180, -16.803, -179.996, -16.797)
BEYOND = shapely.box(180, -16.803, 180.004, -16.797)


@pytest.mark.parametrize(
    "shapes",
    [[shapely.MultiPolygon([EAST, WEST])], [EAST, WEST], [shapely.union(EAST, BEYOND)],
     [shapely.box(-180.004, -16.803, -179.996, -16.797)]],
    ids=["cut in two parts", "cut in two features", "beyond 180", "beyond -180"],
)  # fmt: skip
def test_polygons(tmp_path: Path, shapes: list[shapely.Geometry]) -> None:
    dem = cop30(tmp_path / "dem.tif", size=40, **FIJI)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32701", resolution=5, share=0.9)
    area = vector(tmp_path / "area.geojson", shapes)
    assert np.ptp(read_area(str(area)).bounds[::2]) == pytest.approx(0.008)
    report = run(tmp_path / "out.tif", [dem], [guide], geometry=str(area))
    heights = check(tmp_path / "out.tif", dem, share=0.9)
    check_both_sides(tmp_path / "out.tif", heights)
    x, y, crs = centres(tmp_path / "out.tif")
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    inside = shapely.contains_xy(shapely.union(EAST, BEYOND), lon % 360, lat)
    assert np.array_equal(np.isfinite(heights), inside)
    assert report.warnings == ()


def test_a_map_that_ends_at_the_antimeridian(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", size=40, **FIJI)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32701", resolution=5)
    with pytest.raises(InvalidGrid, match="EPSG:3857 ends within the area"):
        run(tmp_path / "out.tif", [dem], [guide], crs="EPSG:3857")
    edge = 20037508.342789244
    place = Affine(10, 0, edge - 500, 0, -10, -1_897_400)
    torn = write_raster(tmp_path / "torn.tif", np.ones((3, 50, 100), np.uint8), crs="EPSG:3857", transform=place)
    with pytest.raises(NoOverlap, match=r"torn.tif is in EPSG:3857, whose map ends.*gdalwarp"):
        run(tmp_path / "out.tif", [dem], [torn])
    side = write_raster(tmp_path / "side.tif", np.ones((3, 50, 50), np.uint8), crs="EPSG:3857", transform=place)
    run(tmp_path / "out.tif", [dem], [side])
    check(tmp_path / "out.tif", dem, share=0.98)
