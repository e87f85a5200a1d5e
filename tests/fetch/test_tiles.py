"""The arithmetic of the lattice, at all latitudes, against the layout that the bucket's readme describes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.fetch.index import format_runs, kept_index, parse_names, parse_runs, shipped_index
from jspsr_cli.fetch.tiles import GAPS, GLO30, GLO90, Series, Tile, columns_per_degree, native_windows, window_over
from jspsr_cli.types import Bounds
from tests.fetch.archive import tile_name, tile_place

SERIES = st.sampled_from([GLO30, GLO90])
METRES = {"GLO-30": 30, "GLO-90": 90}


@st.composite
def boxes(draw: st.DrawFn) -> Bounds:
    """Small boxes anywhere, often on the edges of bands, tiles and pixels, some across the antimeridian."""
    lat = draw(st.one_of(st.floats(-90, 89.9), st.sampled_from([-85.0, -80, -60, -50, 0, 50, 70, 85, 89.5])))
    lon = draw(st.one_of(st.floats(-180, 180), st.integers(-180, 180).map(float)))
    height = draw(st.sampled_from([1e-5, 0.001, 1 / 3600, 0.5, 1.0, 2.3]))
    width = draw(st.sampled_from([1e-5, 0.001, 1 / 3600, 0.5, 1.0, 2.3]))
    shift = draw(st.sampled_from([0.0, -0.5 / 3600, -height / 2]))
    south = max(-90.0, lat + shift)
    return lon, south, lon + width, min(90.0, south + height)


@given(boxes(), SERIES)
def test_every_pixel_comes_from_where_it_is_in_its_tile(box: Bounds, series: Series) -> None:
    for window in native_windows(box, series):
        pixels = 0
        for part in window.parts():
            place, width, height = tile_place(part.tile.south, part.tile.west, METRES[series.name])
            source = part.source
            assert 0 <= source.col_off < source.col_off + source.width <= width
            assert 0 <= source.row_off < source.row_off + source.height <= height
            lon, lat = place * (source.col_off, source.row_off)
            here_lon, here_lat = window.grid.transform * (part.col, part.row)
            assert lat == pytest.approx(here_lat, abs=1e-9)
            assert math.remainder(lon - here_lon, 360) == pytest.approx(0, abs=1e-9)
            assert window.grid.transform.a == place.a
            assert window.grid.transform.e == place.e
            pixels += source.width * source.height
        assert pixels == window.width * window.height


@given(boxes(), SERIES)
def test_windows_cover_the_box_and_no_pixel_more(box: Bounds, series: Series) -> None:
    windows = native_windows(box, series)
    for above, below in pairwise(windows):
        assert above.row + above.height == below.row
        assert above.columns != below.columns
    west, south, east, north = box
    tolerance = 1e-5 / series.rows
    for window in windows:
        left, _, right, _ = window.grid.bounds
        dx = 1 / window.columns
        assert west - dx - tolerance < left <= west + 1e-5 * dx
        assert east - 1e-5 * dx <= right < east + dx + tolerance
    dy, pole = 1 / series.rows, -90 + 0.5 / series.rows
    # The row of posts on the South Pole itself was left away.
    assert north - 1e-5 * dy <= windows[0].grid.bounds[3] < max(north, pole) + dy + tolerance
    assert max(south, pole) - dy - tolerance < windows[-1].grid.bounds[1] <= max(south, pole) + 1e-5 * dy


@given(st.integers(-90, 89), SERIES)
def test_both_hemispheres_have_the_same_columns(south: int, series: Series) -> None:
    metres = METRES[series.name]
    assert columns_per_degree(series, south) == tile_place(south, 0, metres)[1]
    assert columns_per_degree(series, south) == columns_per_degree(series, -south - 1)


def test_a_whole_degree_touches_its_neighbours() -> None:
    """Posts lie on whole degrees, so half of the pixels there belong to the tiles beside."""
    window = window_over((7, 44, 8, 45), GLO30, 3600)
    assert (window.width, window.height) == (3601, 3601)
    assert {part.tile for part in window.parts()} == {Tile(44, 7), Tile(44, 8), Tile(43, 7), Tile(43, 8)}
    inner = window.grid.transform * (0.5, 0.5)
    assert inner == pytest.approx((7, 45))


def test_the_world_is_one_turn() -> None:
    windows = native_windows((-180, -90, 180, 90), GLO90)
    assert [window.columns for window in windows] == [120, 240, 400, 600, 800, 1200, 800, 600, 400, 240, 120]
    assert all(window.width == 360 * window.columns for window in windows)
    assert sum(window.height for window in windows) == 180 * 1200


# Names and lists


@given(st.integers(-90, 89), st.integers(-180, 179), SERIES)
def test_names(south: int, west: int, series: Series) -> None:
    name = Tile(south, west).name(series)
    assert name == tile_name(south, west, METRES[series.name])
    assert parse_names(f"a\r\n{name}\r\n", address="there", choices="X or Y") == {Tile(south, west)}


def test_the_shipped_list() -> None:
    index = shipped_index()
    assert len(index) == 26_450
    assert not index & GAPS
    assert len(GAPS) == 25
    assert {Tile(33, -118), Tile(-90, 179), Tile(83, -80)} <= index
    assert Tile(0, 0) not in index


@given(st.frozensets(st.builds(Tile, st.integers(-90, 89), st.integers(-180, 179)), min_size=1))
def test_a_list_of_runs_is_read_back(index: frozenset[Tile]) -> None:
    assert parse_runs(format_runs(index)) == index


@pytest.mark.parametrize("content", [None, "", "nonsense", "1: 2..x"])
def test_a_kept_list_that_is_none_is_not_taken(tmp_path_factory: pytest.TempPathFactory, content: str | None) -> None:
    path = tmp_path_factory.mktemp("kept") / "tiles.txt"
    if content is not None:
        path.write_text(content)
    assert kept_index(path) is None
