"""Contract 1, first half: which grid is chosen."""

import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from jspsr_cli.errors import InvalidGrid, InvalidOption, MissingCRS, NoOverlap
from jspsr_cli.raster.grid import (
    WGS84,
    Extent,
    Grid,
    choose_crs,
    ground_scale,
    name_of,
    parse_crs,
    snapped_grid,
    utm_crs,
)
from jspsr_cli.raster.target import TargetRequest, is_lonlat, target_of
from jspsr_cli.types import Bounds
from tests.scenes import write_raster

UTM31 = CRS.from_epsg(32631)
UTM31_BOX = (455_003.0, 5_410_001.0, 456_999.0, 5_412_002.0)
DEGREES = Extent(WGS84, (2.0, 48.5, 2.8, 49.2), "dem.tif")
GUIDE = Extent(UTM31, UTM31_BOX, "ortho.tif")


def grid_for(guide: Extent = GUIDE, dem: Extent = DEGREES, **request: object) -> Grid:
    fields: dict[str, object] = {"resolution": 8.0, **request}
    return target_of(TargetRequest(**fields), [dem, guide], guide=guide).grid  # type: ignore[arg-type]


@given(
    st.floats(0.1, 100),
    st.floats(-1e6, 1e6),
    st.floats(-1e7, 1e7),
    st.floats(1, 5000),
    st.floats(1, 5000),
)
def test_edges_are_multiples_and_cover_what_was_asked(
    resolution: float, west: float, south: float, width: float, height: float
) -> None:
    asked = (west, south, west + width, south + height)
    grid = snapped_grid(UTM31, resolution, asked)
    for edge in grid.bounds:
        assert edge / resolution == pytest.approx(round(edge / resolution), abs=1e-5)
    slack = 2e-6 * resolution + 1e-6
    assert grid.bounds[0] <= asked[0] + slack
    assert grid.bounds[1] <= asked[1] + slack
    assert grid.bounds[2] >= asked[2] - slack
    assert grid.bounds[3] >= asked[3] - slack
    # No more than one pixel too much on any side.
    assert grid.width * resolution < width + 2 * resolution + slack
    row, col = grid.origin
    assert (col, -row) == (round(grid.bounds[0] / resolution), round(grid.bounds[3] / resolution))


def test_the_same_ground_has_the_same_origin_whatever_the_bounds() -> None:
    whole = snapped_grid(UTM31, 8, UTM31_BOX)
    part = snapped_grid(UTM31, 8, (455_400, 5_410_400, 456_000, 5_411_000))
    row, col = part.origin[0] - whole.origin[0], part.origin[1] - whole.origin[1]
    assert whole.part(row, col, part.height, part.width) == part


def test_the_guides_crs_and_box_where_it_is_in_metres() -> None:
    grid = grid_for()
    assert grid.crs == UTM31
    assert grid.bounds == (455_000, 5_410_000, 457_000, 5_412_008)


@pytest.mark.parametrize(
    ("crs", "bounds"),
    [
        ("EPSG:4326", (2.39, 48.85, 2.41, 48.87)),
        ("EPSG:3857", (266_000.0, 6_250_000.0, 268_000.0, 6_252_000.0)),  # 1.5 map metres to the metre here
    ],
)
def test_utm_where_the_guides_unit_is_not_a_metre_on_the_ground(crs: str, bounds: Bounds) -> None:
    assert grid_for(guide=Extent(CRS.from_string(crs), bounds, "ortho.tif")).crs == UTM31


def test_web_mercator_at_the_equator_is_metres() -> None:
    mercator = CRS.from_epsg(3857)
    assert choose_crs([GUIDE], guide=mercator, area=(10, -1, 11, 1)) == mercator
    assert ground_scale(mercator, (10, 60)) == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [
        (2.4, 48.9, 32631), (-118, 34, 32611), (151, -34, 32756), (5.3, 60.4, 32631), (20, 78.2, 32634),
        (179.99, -17, 32760), (-179.99, -17, 32701), (181, 52, 32601), (0, 86, 5041), (100, -85, 5042),
    ],
)  # fmt: skip
def test_utm_zones(lon: float, lat: float, code: int) -> None:
    assert utm_crs((lon, lat)).to_epsg() == code


def test_degrees_and_feet_are_no_target() -> None:
    for crs in ("EPSG:4326", "EPSG:2994", "EPSG:2263"):
        with pytest.raises(InvalidGrid, match="not projected in metres"):
            grid_for(crs=crs)
    with pytest.raises(InvalidOption, match="not a known CRS"):
        parse_crs("EPSG:1")


def test_a_guide_in_feet_goes_to_utm() -> None:
    oregon = Extent(CRS.from_epsg(2994), (637_000.0, 849_000.0, 640_000.0, 853_000.0), "autzen.tif")
    dem = Extent(WGS84, (-123.2, 44.0, -123.0, 44.1), "dem.tif")
    assert name_of(grid_for(guide=oregon, dem=dem).crs) == "EPSG:32610"


def test_bounds_in_degrees_and_in_the_target_crs() -> None:
    metres = grid_for(bounds=(455_400.0, 5_410_400.0, 456_000.0, 5_411_000.0))
    assert metres.bounds == (455_400, 5_410_400, 456_000, 5_411_000)
    degrees = grid_for(bounds=(2.40, 48.85, 2.41, 48.86))
    assert degrees.crs == UTM31
    assert degrees.width * 8 == pytest.approx(0.01 * 111_320 * math.cos(math.radians(48.855)), abs=40)
    assert is_lonlat((-180, -90, 180, 90))
    assert not is_lonlat((-180, -90, 181, 90))


def test_like_is_taken_as_it_is(tmp_path: Path) -> None:
    transform = Affine(7.8, 0, 455_003.3, 0, -7.8, 5_411_007.7)
    like = write_raster(tmp_path / "like.tif", np.zeros((20, 30), np.uint8), crs="EPSG:32631", transform=transform)
    grid = grid_for(like=str(like))
    assert (grid.crs, grid.transform, grid.width, grid.height) == (UTM31, transform, 30, 20)
    with pytest.raises(InvalidGrid, match="--like"):
        grid_for(like=str(like), crs="EPSG:32631")


@pytest.mark.parametrize("transform", [Affine(8, 1, 0, 0, -8, 0), Affine(8, 0, 0, 0, 8, 0), Affine(-8, 0, 0, 0, -8, 0)])
def test_rotated_and_flipped_grids_are_refused(transform: Affine) -> None:
    with pytest.raises(InvalidGrid, match="north-up"):
        Grid(UTM31, transform, 10, 10)


def test_grids_that_nobody_means() -> None:
    with pytest.raises(InvalidGrid, match="pixels"):
        snapped_grid(UTM31, 1e-6, (0, 0, 1e6, 1e6))


def test_inputs_that_lie_apart_are_named() -> None:
    far = Extent(WGS84, (10.0, 48.5, 10.8, 49.2), "far.tif")
    with pytest.raises(NoOverlap, match=r"far\.tif.*ortho\.tif|ortho\.tif.*far\.tif"):
        grid_for(dem=far)


@pytest.mark.parametrize("bounds", [(8.0, 48.0, 8.1, 48.1), (470_000.0, 5_410_400.0, 471_000.0, 5_411_000.0)])
def test_an_area_off_the_inputs(bounds: Bounds) -> None:
    with pytest.raises(NoOverlap):
        grid_for(bounds=bounds)


def test_a_world_mosaic_is_cut_to_the_guide() -> None:
    world = Extent(WGS84, (-180.0, -90.0, 180.0, 90.0), "world.vrt")
    assert grid_for(dem=world).bounds == grid_for().bounds


def test_a_guide_without_crs() -> None:
    with pytest.raises(MissingCRS, match=r"ortho\.tif"):
        choose_crs([GUIDE], guide=CRS(), area=(2, 48, 3, 49))
