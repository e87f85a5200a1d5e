"""Geoids in closed form, on grids as PROJ reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from tests.scenes import Array, write_raster

#: Longitude and latitude of their middle, in France.
LON, LAT = 3.3, 47.0

#: What PROJ calls the grids of the two global geoids, and one that PROJ has never heard of.
EGM2008, EGM96, OWN = "us_nga_egm08_25.tif", "us_nga_egm96_15.tif", "own.tif"

OWN_CRS = f"+proj=longlat +datum=WGS84 +geoidgrids={OWN} +vunits=m +type=crs"

Geoid = Callable[[Array, Array], Array]


def undulation(middle: float, east: float, north: float, both: float) -> Geoid:
    """A geoid that bilinear interpolation between the points of its grid gives back exactly."""
    return lambda lon, lat: middle + east * (lon - LON) + (north + both * (lon - LON)) * (lat - LAT)


#: Far steeper than the Earth's (metres per degree), so that half a pixel of 8 m is more than a millimetre.
GEOIDS = {
    EGM2008: undulation(48, 70, -90, 30),
    EGM96: undulation(47, -60, 80, -20),
    OWN: undulation(-20, 50, 50, 40),
}


def write_geoid(path: Path, *, east: float = 1.0) -> Path:
    """The geoid of that name on PROJ's kind of grid, a degree around the scene but for `east`."""
    step, west, north = 0.1, LON - 1, LAT + 1
    lon, lat = np.meshgrid(west + step * np.arange(11 + round(east / step)), north - step * np.arange(21))
    place = Affine(step, 0, west - step / 2, 0, -step, north + step / 2)
    heights = GEOIDS[path.name](lon, lat).astype(np.float32)
    write_raster(path, heights, crs="EPSG:4326", transform=place)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point", TYPE="VERTICAL_OFFSET_GEOGRAPHIC_TO_VERTICAL")
        dataset.set_band_description(1, "geoid_undulation")
        dataset.set_band_unit(1, "metre")
    return path
