"""The pixels that heights are compared on: those of the reference."""

import math
from collections.abc import Sequence

from affine import Affine

from jspsr_cli.errors import CoarseReference, NoOverlap
from jspsr_cli.limits import DEFAULT_RESOLUTION
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.align import pixel_size
from jspsr_cli.raster.grid import SNAP_TOLERANCE, Grid, choose_crs, common_area, overlap_grid
from jspsr_cli.raster.mosaic import Mosaic, group_mosaics
from jspsr_cli.raster.sources import RasterFile

# A pixel of 8 m is one of 8.01 m in the next UTM zone.
SIZE_SLACK = 1.01


def own_lattice(leading: Sequence[RasterFile], others: Sequence[Sequence[RasterFile]]) -> Grid:
    """The pixels of `leading` over what it shares with all `others`.

    Pixels of its size in the local UTM zone, where it is not on one lattice, north-up and in metres.

    Raises:
        NoOverlap: they share no ground.
    """
    extents = [extent_of(files) for files in (leading, *others)]
    common = common_area(extents)
    first, mosaics = leading[0], group_mosaics(leading)
    crs = choose_crs(first.crs, area=common)
    t = first.transform
    if len(mosaics) > 1 or crs != first.crs or t.b or t.d or t.a <= 0 or t.e >= 0:
        rough = overlap_grid(extents, crs=crs, resolution=DEFAULT_RESOLUTION, area=common)
        size = float(f"{pixel_size(mosaics[0], rough):.3g}")
        return overlap_grid(extents, crs=crs, resolution=size, area=common)
    west, south, east, north = overlap_grid(extents, crs=crs, resolution=t.a, area=common).bounds
    hull = mosaics[0].hull
    left = max(hull.col_off, math.floor((west - t.c) / t.a + SNAP_TOLERANCE))
    top = max(hull.row_off, math.floor((north - t.f) / t.e + SNAP_TOLERANCE))
    right = min(hull.col_off + hull.width, math.ceil((east - t.c) / t.a - SNAP_TOLERANCE))
    bottom = min(hull.row_off + hull.height, math.ceil((south - t.f) / t.e - SNAP_TOLERANCE))
    if left >= right or top >= bottom:
        raise NoOverlap(f"{first.name} shares no pixel with what it is compared with: check that both cover the same "
                        "ground.")  # fmt: skip
    return Grid(crs, t * Affine.translation(left, top), right - left, bottom - top)


def check_fine(reference: Sequence[RasterFile], prediction: Sequence[RasterFile], grid: Grid) -> None:
    """Raise CoarseReference where pixels of `reference` are larger than those of `prediction`."""
    coarsest = max(reference, key=lambda file: pixel_size(Mosaic((file,)), grid))
    size = pixel_size(Mosaic((coarsest,)), grid)
    predicted = min(pixel_size(Mosaic((file,)), grid) for file in prediction)
    if size > predicted * SIZE_SLACK:
        raise CoarseReference(
            f"{coarsest.name} has pixels of {size:.3g} m and {prediction[0].name} of {predicted:.3g} m: a "
            "reference that is coarser cannot tell how good they are, give a finer one."
        )
