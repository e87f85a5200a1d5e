"""The arithmetic of the canopy map: tiles of web mercator and their names, what of them a box needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from morecantile import Tile
from rasterio.windows import Window
from rio_tiler.constants import WEB_MERCATOR_TMS

from jspsr_cli.fetch.quadkeys import PIXEL, SIDE, TILES, canopy_window, quadkey, tile_grid
from tests.fetch import others
from tests.fetch.others import HALF, METRES


@given(st.integers(0, TILES - 1), st.integers(0, TILES - 1))
def test_quadkeys_and_places_of_tiles(x: int, y: int) -> None:
    """By the definition of quadkeys, and as another library has the square."""
    assert quadkey(x, y) == others.quadkey(x, y)
    box_of = WEB_MERCATOR_TMS.xy_bounds(Tile(x, y, 9))
    assert tile_grid(x, y).bounds == pytest.approx(tuple(box_of), abs=1e-6)


def test_quadkeys_as_published() -> None:
    """Zagreb, Edmonton, and the corners of the world."""
    for lon, lat, key in [(15.98, 45.8, "120230330"), (-113.5, 53.5, "021211312"), (-180, 85.05, "0" * 9),
                          (179.9999, -85.05, "3" * 9)]:  # fmt: skip
        tile = WEB_MERCATOR_TMS.tile(lon, lat, 9)
        assert quadkey(tile.x, tile.y) == key


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Boxes on the map, often at its edges, on those of tiles and of pixels, at the equator."""
    edge = st.one_of(st.floats(-HALF, HALF), st.sampled_from([-HALF, -HALF + METRES, 0.0, HALF - 20, HALF]),
                     st.integers(-256, 256).map(lambda tile: tile * SIDE * METRES))  # fmt: skip
    west, south = draw(edge), draw(edge)
    size = st.sampled_from([0.01, METRES, 4 * METRES, 1000.0, SIDE * METRES])
    return west, south, west + draw(size), south + draw(size)


@given(boxes(), st.integers(1, 90))
def test_windows_cover_the_box_and_their_parts_the_window(asked: tuple[float, ...], factor: int) -> None:
    window = canopy_window(asked, factor=factor)  # type: ignore[arg-type]
    west, south, east, north = window.grid.bounds
    side, tolerance = factor * PIXEL, 1e-4
    inside = [min(max(v, -HALF), HALF) for v in asked]
    assert west - tolerance <= inside[0] <= west + side + tolerance
    assert south - tolerance <= inside[1] <= south + side + tolerance or window.height == 1
    assert east - side - tolerance <= inside[2] <= east + tolerance or window.width == 1
    assert north - side - tolerance <= inside[3] <= north + tolerance
    parts = list(window.parts())
    pixels = 0
    for part in parts:
        assert 0 <= part.x < TILES > part.y >= 0
        source = part.source
        assert 0 <= source.col_off < source.col_off + source.width <= SIDE
        assert 0 <= source.row_off < source.row_off + source.height <= SIDE
        pixels += source.width * source.height
    last = TILES * SIDE
    beyond = [max(0, (first + length) * factor - last)
              for first, length in ((window.col, window.width), (window.row, window.height))]  # fmt: skip
    assert pixels == (window.width * factor - beyond[0]) * (window.height * factor - beyond[1])
    assert len({part.file_name for part in parts}) == len(parts)


def test_the_window_of_a_part_is_whole() -> None:
    (part,) = canopy_window((0.1, -0.2, 0.2, -0.1), factor=1).parts()
    assert (part.x, part.y, part.source) == (256, 256, Window(0, 0, 1, 1))
