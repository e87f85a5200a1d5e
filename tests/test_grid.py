"""Contract 1, first half: which grid is chosen."""

import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from jspsr_cli.errors import InvalidGrid, InvalidOption, NoOverlap
from jspsr_cli.raster.boxes import intersect_lonlat, turned, turns_to, unite_lonlat
from jspsr_cli.raster.grid import (
    WGS84,
    Extent,
    Grid,
    choose_crs,
    common_area,
    ground_scale,
    is_torn,
    name_of,
    parse_crs,
    project_bounds,
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
    assert choose_crs(mercator, area=(10, -1, 11, 1)) == mercator
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


# Longitudes come round


def lonlat_boxes(width: float = 90.0) -> st.SearchStrategy[Bounds]:
    """Boxes of up to `width` degrees, in steps of 1/8 degree so that turning them is exact."""
    numbers = st.tuples(st.integers(-1440, 1440), st.integers(-720, 600), st.integers(1, int(width * 8)))
    return numbers.map(lambda v: (v[0] / 8, v[1] / 8, (v[0] + v[2]) / 8, min(90, v[1] / 8 + 15)))


TURNS = st.integers(-2, 2)


def eighths(box: Bounds | None) -> set[int]:
    """The eighths of a degree of longitude that a box holds, 0 to 2879."""
    return {v % 2880 for v in range(round(box[0] * 8), round(box[2] * 8))} if box else set()


@given(st.lists(lonlat_boxes(), min_size=2, max_size=4), st.data())
def test_the_common_box_does_not_depend_on_turns_or_order(boxes: list[Bounds], data: st.DataObject) -> None:
    common = intersect_lonlat(boxes)
    others = data.draw(st.permutations([turned(box, data.draw(TURNS)) for box in boxes]))
    assert intersect_lonlat(others) == common
    held = set.intersection(*map(eighths, boxes))
    level = max(box[1] for box in boxes) < min(box[3] for box in boxes)
    assert eighths(common) == (held if level else set())
    assert common is None or -180 <= (common[0] + common[2]) / 2 <= 180


@given(lonlat_boxes(), st.integers(-2880, 2880), TURNS)
def test_the_world_shares_the_whole_of_every_box(box: Bounds, edge: int, turns: int) -> None:
    world = (edge / 8, -90.0, edge / 8 + 360, 90.0)
    shared = intersect_lonlat([turned(world, turns), box])
    assert shared == turned(box, turns_to(0, box))


@given(st.lists(lonlat_boxes(10), min_size=1, max_size=5), st.integers(-1440, 1440), st.data())
def test_tiles_close_together_have_a_narrow_hull(boxes: list[Bounds], place: int, data: st.DataObject) -> None:
    """Wherever on Earth they are, and however each counts its longitudes."""
    near = [(b[0] / 36 + place / 8, b[1], b[0] / 36 + place / 8 + 1, b[3]) for b in boxes]  # within 5 degrees of it
    hull = unite_lonlat([turned(box, data.draw(TURNS)) for box in near])
    assert hull[2] - hull[0] == pytest.approx(max(b[2] for b in near) - min(b[0] for b in near))
    assert all(intersect_lonlat([hull, box]) for box in near)


def test_boxes_across_the_antimeridian_go_on() -> None:
    fiji = project_bounds((815_000, 8_100_000, 830_000, 8_115_000), CRS.from_epsg(32760), WGS84)
    assert fiji == pytest.approx((179.959, -17.163, 180.102, -17.026), abs=1e-3)
    tiles = Extent(WGS84, unite_lonlat([(-180.0, -18.0, -179.0, -17.0), (179.0, -18.0, 180.0, -17.0)]), "dem.tif")
    assert tiles.bounds == (179, -18, 181, -17)
    guide = Extent(CRS.from_epsg(32760), (815_000.0, 8_100_000.0, 830_000.0, 8_115_000.0), "ortho.tif")
    for dem in (tiles, Extent(WGS84, turned(tiles.bounds, -1), "dem.tif"), Extent(WGS84, (-180, -90, 180, 90), "dem")):
        assert grid_for(guide, dem).bounds == (815_000, 8_100_000, 830_000, 8_115_000)
    assert utm_crs((180.5, -17)) == utm_crs((-179.5, -17)) == CRS.from_epsg(32701)


def test_pairs_that_meet_without_a_common_ground() -> None:
    """Only on a sphere: each of three meets the next, around the Earth."""
    thirds = [Extent(WGS84, (west, -10.0, west + 130.0, 10.0), f"{west}.tif") for west in (0.0, 120.0, 240.0)]
    with pytest.raises(NoOverlap, match="although each pair"):
        common_area(thirds)


@pytest.mark.parametrize(
    ("crs", "west", "torn"),
    [(3857, 179.5, True), (3857, 179.999, True), (3857, 179, False), (3857, -180, False), (32701, 179.5, False),
     (3832, 179.5, False), (3832, -30.5, True), (3413, 179.5, False), (4326, 179.5, False)],
)  # fmt: skip
def test_maps_that_end_within_an_area(crs: int, west: float, torn: bool) -> None:
    assert is_torn(CRS.from_epsg(crs), (west, -17, west + 1, -16)) == torn


@pytest.mark.parametrize("bounds", [(10, 45, 9, 46), (9, 46, 10, 45), (9, 45, 9, 46), (5e5, 5e6, 4e5, 6e6)])
def test_reversed_bounds(bounds: Bounds) -> None:
    with pytest.raises(InvalidOption, match="reversed or empty"):
        TargetRequest(8, bounds=bounds)
