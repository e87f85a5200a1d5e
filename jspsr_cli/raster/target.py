"""Which grid is asked for: `--like`, `--bounds` and `--geometry` over what the inputs share."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from jspsr_cli.errors import InvalidGrid, InvalidOption, NoOverlap
from jspsr_cli.raster.boxes import TURN, intersect, intersect_lonlat, turned, turns_to
from jspsr_cli.raster.grid import (
    WGS84,
    WIDE_DEGREES,
    Extent,
    Grid,
    choose_crs,
    common_area,
    is_torn,
    name_of,
    overlap_grid,
    parse_crs,
    project_bounds,
    project_points,
    snapped_grid,
)
from jspsr_cli.raster.polygons import Area, read_area
from jspsr_cli.raster.sources import RasterFile, inspect_raster
from jspsr_cli.types import Bounds

# Finer than any orthophoto for a whole area, and coarser than any DEM that is worth refining.
MIN_RESOLUTION, MAX_RESOLUTION = 0.1, 100.0

# Points along each side of the target at which is asked whether an input covers it: 1 % of an area is 100 points.
COVER_POINTS = 100


@dataclass(frozen=True)
class TargetRequest:
    """What the user asked of the target grid; each field is an option of the same name.

    `bounds` are longitude and latitude where all four could be, else coordinates of the target CRS. Across the
    antimeridian their west may be greater than their east (RFC 7946), or their east greater than 180.
    """

    resolution: float
    crs: str | None = None
    bounds: Bounds | None = None
    like: str | None = None
    geometry: str | None = None

    def __post_init__(self) -> None:
        if not MIN_RESOLUTION <= self.resolution <= MAX_RESOLUTION:
            raise InvalidOption(
                f"A resolution of {self.resolution:g} m cannot be meant: choose one from {MIN_RESOLUTION:g} to "
                f"{MAX_RESOLUTION:g} m, best the one that the weights were trained at."
            )
        if self.bounds:
            west, south, east, north = self.bounds
            across = is_lonlat(self.bounds) and west - east > TURN / 2
            if not (south < north and (west < east or across)):
                raise InvalidOption("The bounds are reversed or empty: their order is west, south, east, north.")


@dataclass(frozen=True)
class Target:
    """The grid, and the polygon in its CRS that bounds the output, if any."""

    grid: Grid
    area: Area | None


def is_lonlat(bounds: Bounds) -> bool:
    """Whether `bounds` can be degrees: no map in metres is that small."""
    west, south, east, north = bounds
    return max(abs(west), abs(east), east - west) <= TURN and max(abs(south), abs(north)) <= 90


def in_one_piece(bounds: Bounds) -> Bounds:
    """`bounds` in degrees with the west less than the east."""
    west, south, east, north = bounds
    return (west, south, east, north) if west < east else (west, south, east + TURN, north)


def target_of(request: TargetRequest, extents: Sequence[Extent], *, guide: Extent) -> Target:
    """The grid that `request` means for inputs of `extents`; `guide` proposes the CRS.

    Raises:
        NoOverlap: the inputs share no ground, or the area asked for lies off them.
        InvalidGrid: not projected in metres, or --like with options that contradict it.
    """
    common = common_area(extents)
    area = _cut_area(read_area(request.geometry), common) if request.geometry else None
    grid = _like(request) if request.like else _asked(request, extents, guide=guide, common=common, area=area)
    box = project_bounds(grid.bounds, grid.crs, WGS84)
    for extent in extents:
        if is_torn(extent.crs, _covered(box, extent)):
            raise NoOverlap(
                f"{extent.name} is in {name_of(extent.crs)}, whose map ends within the area: bring it to the local UTM "
                "zone first, with gdalwarp -t_srs."
            )
    return Target(grid, area.to(grid.crs) if area else None)


def _like(request: TargetRequest) -> Grid:
    if request.crs or request.bounds:
        raise InvalidGrid("--like takes the grid of a raster as it is: leave --crs and --bounds away.")
    file = inspect_raster(str(request.like))
    return Grid(file.crs, file.transform, file.width, file.height)


def _asked(
    request: TargetRequest, extents: Sequence[Extent], *, guide: Extent, common: Bounds, area: Area | None
) -> Grid:
    lonlat = [in_one_piece(request.bounds)] if request.bounds and is_lonlat(request.bounds) else []
    lonlat = [_cut(box, common) for box in lonlat]
    places = [*lonlat, *([project_bounds(area.bounds, area.crs, WGS84)] if area else [])]
    for box, extent in product(places, extents):
        _covered(box, extent)
    place = intersect_lonlat([common, *places]) or common
    crs = parse_crs(request.crs) if request.crs else choose_crs(guide.crs, area=place)
    if any(is_torn(crs, box) for box in (place, *lonlat)):
        raise InvalidGrid(f"The map of {name_of(crs)} ends within the area: leave --crs away for the local UTM zone.")
    boxes = [project_bounds(box, WGS84, crs) for box in lonlat]
    if request.bounds and not lonlat:
        boxes.append(request.bounds)
    if area:  # the polygon's own box, not the box around its box: that would grow by the turn of the CRS
        boxes.append(area.to(crs).bounds)
    if not boxes:
        return overlap_grid(extents, crs=crs, resolution=request.resolution, area=common)
    wanted = intersect(boxes)
    if wanted is None:
        raise NoOverlap("--bounds and --geometry do not overlap: they must share some ground.")
    return snapped_grid(crs, request.resolution, wanted)


def _cut(box: Bounds, common: Bounds) -> Bounds:
    """A box in degrees that is too wide to be projected, such as the world, cut to what the inputs share."""
    wide = max(box[2] - box[0], box[3] - box[1]) > WIDE_DEGREES
    return (intersect_lonlat([box, common]) or box) if wide else box


def _cut_area(area: Area, common: Bounds) -> Area:
    """A polygon in degrees that is too wide to be projected, cut to the box around what the inputs share."""
    if not area.crs.is_geographic or _cut(area.bounds, common) == area.bounds:
        return area
    near = turned(common, turns_to((area.bounds[0] + area.bounds[2]) / 2, common))
    return area.clipped(near)


def _covered(box: Bounds, extent: Extent) -> Bounds:
    """What `extent` covers of a box asked for, both in longitude and latitude.

    Raises:
        NoOverlap: nothing.
    """
    shared = intersect_lonlat([box, project_bounds(extent.bounds, extent.crs, WGS84)])
    if shared is None:
        raise NoOverlap(f"The area asked for lies off {extent.name}: check --bounds, --geometry or --like.")
    return shared


def uncovered(target: Target, files: Sequence[RasterFile]) -> float:
    """Share of the target, 0 to 1, that lies beyond the edges of all `files`; voids within them do not count."""
    grid, steps = target.grid, (np.arange(COVER_POINTS) + 0.5) / COVER_POINTS
    cols, rows = (side.ravel() for side in np.meshgrid(steps * grid.width, steps * grid.height))
    x, y = grid.transform.a * cols + grid.transform.c, grid.transform.e * rows + grid.transform.f
    if target.area:
        inside = target.area.holds(x, y)
        x, y = x[inside], y[inside]
    open_ground = np.ones(len(x), dtype=bool)
    places = {crs: project_points(grid.crs, crs, x, y) for crs in {file.crs for file in files}}
    for file in files:
        px, py = (np.asarray(v) for v in places[file.crs])
        if file.crs.is_geographic:
            px = px + TURN * np.round(((file.bounds[0] + file.bounds[2]) / 2 - px) / TURN)
        inverse = ~file.transform
        col, row = inverse.a * px + inverse.b * py + inverse.c, inverse.d * px + inverse.e * py + inverse.f
        open_ground &= ~((col >= 0) & (col <= file.width) & (row >= 0) & (row <= file.height))
    return float(open_ground.mean()) if len(x) else 0.0
