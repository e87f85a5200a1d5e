"""Vertical datums by name, code and definition."""

import pytest
import rasterio
from pyproj import CRS

from jspsr_cli.errors import MissingDatumGrid
from jspsr_cli.params import VerticalCrsType
from jspsr_cli.raster.grid import snapped_grid
from jspsr_cli.raster.vertical import datum_of, datum_of_tag, parse_datum
from tests.test_vertical import transform_to

NAMES = {
    "EPSG:5773": "EGM96 height (EPSG:5773)",
    "EPSG:9707": "EGM96 height (EPSG:5773)",
    "EPSG:2154+5720": "NGF-IGN69 height (EPSG:5720)",
    "EPSG:4979": "WGS 84 ellipsoidal height (EPSG:4979)",
    "EPSG:4937": "ETRS89 ellipsoidal height (EPSG:4937)",
    "EPSG:2263+6360": "NAVD88 height (EPSG:5703)",  # in feet; the DEM is made metres, and so is its datum
    "EPSG:4269+5702": "NGVD29 height (m) (EPSG:7968)",
}


@pytest.mark.parametrize("crs", NAMES)
def test_name_of_a_datum_and_back(crs: str) -> None:
    datum = datum_of(CRS(CRS(crs).to_wkt()))
    assert datum
    assert datum.name == datum.tag == NAMES[crs]
    again = datum_of_tag(datum.tag)
    assert again
    assert again.surface == datum.surface


def test_a_datum_without_a_code_keeps_its_definition() -> None:
    local = CRS(CRS("EPSG:5720").to_wkt().replace("NGF-IGN69", "Mine").replace('ID["EPSG",5720]', 'REMARK["mine"]'))
    datum = datum_of(local)
    assert datum
    again = datum_of_tag(datum.tag)
    assert again
    assert (again.surface, again.name) == (datum.surface, "Mine height")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "that of the input DEM, which does not say which",
        "mean sea level (XY:1)",
        "EGM2008 height (EPSG:3855) | EGM96 height (EPSG:5773)",
    ],
)
def test_a_tag_that_names_no_datum(text: str) -> None:
    assert datum_of_tag(text) is None


def test_what_can_be_asked_for() -> None:
    asked = {text: parse_datum(VerticalCrsType().parse(text)).name for text in ("Ellipsoid", "5773", "EPSG:7415")}
    assert asked == {
        "Ellipsoid": "WGS 84 ellipsoidal height (EPSG:4979)",
        "5773": "EGM96 height (EPSG:5773)",
        "EPSG:7415": "NAP height (EPSG:5709)",
    }


@pytest.mark.parametrize(
    ("target", "geoid"), [("EPSG:6349", "us_noaa_g2018u0.tif"), ("EPSG:5703", "us_noaa_g1999u06.tif")]
)
def test_the_horizontal_part_chooses_among_geoids(target: str, geoid: str) -> None:
    """NAD83(2011) goes with GEOID18, and NAD83(HARN), which PROJ takes by itself, with GEOID99."""
    grid = snapped_grid(rasterio.crs.CRS.from_epsg(32613), 8, (500_000, 4_400_000, 500_800, 4_400_800))
    with pytest.raises(MissingDatumGrid, match=f"us_nga_egm08_25.tif and {geoid}"):
        transform_to(grid, target)
