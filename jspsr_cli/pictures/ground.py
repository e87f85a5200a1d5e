"""The ground that rasters are shown on side by side."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pyproj
from affine import Affine
from rasterio.crs import CRS

from jspsr_cli.pictures.views import shown_grid
from jspsr_cli.raster.align import pixel_size
from jspsr_cli.raster.grid import WGS84, Extent, Grid, choose_crs, common_area, overlap_grid
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.target import in_one_piece, is_lonlat
from jspsr_cli.types import Bounds

METRES_PER_DEGREE = 111_320.0

# Edges stay where they are but for this share of what is shown, and at the least this power of two of a metre, which
# leaves edges at simple fractions of a metre exactly there.
STEP, SMALLEST_STEP = 1e-9, -10

# Pixels are smaller than those of the finest raster by this share: of its own pixels each is then one and the same, but
# pixels that were ever so slightly larger would be means of several and fill the rims of voids.
SMALLER = 1e-7

# Latitude beyond which a map on which all degrees of longitude are alike wide shows hardly any ground.
POLEWARDS = 85.0


def shared_grid(files: Sequence[RasterFile], bounds: Bounds | None) -> Grid:
    """What all `files` share, within `bounds` if given, in pixels as fine as those of the finest.

    In the CRS of the first file that is in metres, as they are on the ground, else on a map of its own on which north
    is up everywhere. `bounds` as in `TargetRequest`, but in the CRS of the first file where they are no degrees.

    Raises:
        NoOverlap: there is none.
    """
    extents = [file.extent for file in files]
    if bounds and is_lonlat(bounds):
        extents.append(Extent(WGS84, in_one_piece(bounds), "--bounds"))
    elif bounds:
        extents.append(Extent(files[0].crs, bounds, "--bounds"))
    area = common_area(extents)
    longest = max(area[2] - area[0], area[3] - area[1]) * METRES_PER_DEGREE
    step = 2.0 ** max(SMALLEST_STEP, math.ceil(math.log2(longest * STEP)))
    exact = overlap_grid(extents, crs=_crs(files, area), resolution=step, area=area)
    west, south, east, north = exact.bounds
    finest = min(pixel_size(Mosaic((file,)), exact) for file in files)
    grid = shown_grid(exact, most=max(1, round(max(east - west, north - south) / finest)))
    return replace(grid, transform=grid.transform * Affine.scale(1 - SMALLER))


def _crs(files: Sequence[RasterFile], area: Bounds) -> CRS:
    for file in files:
        if choose_crs(file.crs, area=area) == file.crs:
            return file.crs
    west, south, east, north = area
    latitude = min(max((south + north) / 2, -POLEWARDS), POLEWARDS)
    plain = f"+proj=eqc +lat_ts={latitude:.6f} +lon_0={(west + east) / 2:.6f} +datum=WGS84 +units=m +type=crs"
    named = {**pyproj.CRS.from_user_input(plain).to_json_dict(), "name": "equirectangular, true to scale in the middle"}
    return CRS.from_wkt(pyproj.CRS.from_json_dict(named).to_wkt())


def lengths(grid: Grid) -> tuple[float, float]:
    """Width and height of `grid` in metres."""
    west, south, east, north = grid.bounds
    return east - west, north - south


def round_length(most: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten metres that is not longer than `most`."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= most)
