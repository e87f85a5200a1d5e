"""Which grid is asked for: `--like`, `--bounds` and `--geometry` over what the inputs share."""

from collections.abc import Sequence
from dataclasses import dataclass

from jspsr_cli.errors import InvalidGrid, InvalidOption, NoOverlap
from jspsr_cli.raster.grid import (
    WGS84,
    Extent,
    Grid,
    choose_crs,
    common_area,
    intersect,
    overlap_grid,
    parse_crs,
    project_bounds,
    snapped_grid,
)
from jspsr_cli.raster.polygons import Area, read_area
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.types import Bounds

# Finer than any orthophoto for a whole area, and coarser than any DEM that is worth refining.
MIN_RESOLUTION, MAX_RESOLUTION = 0.1, 100.0


@dataclass(frozen=True)
class TargetRequest:
    """What the user asked of the target grid; each field is an option of the same name.

    `bounds` are longitude and latitude where all four could be, else coordinates of the target CRS.
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


@dataclass(frozen=True)
class Target:
    """The grid, and the polygon in its CRS that bounds the output, if any."""

    grid: Grid
    area: Area | None


def is_lonlat(bounds: Bounds) -> bool:
    """Whether `bounds` can be degrees: no map in metres is that small."""
    return all(abs(v) <= 180 for v in bounds[::2]) and all(abs(v) <= 90 for v in bounds[1::2])


def target_of(request: TargetRequest, extents: Sequence[Extent], *, guide: Extent) -> Target:
    """The grid that `request` means for inputs of `extents`; `guide` proposes the CRS.

    Raises:
        NoOverlap: the inputs share no ground, or the area asked for lies off them.
        InvalidGrid: not projected in metres, or --like with options that contradict it.
    """
    common = common_area(extents)
    area = read_area(request.geometry) if request.geometry else None
    grid = _like(request) if request.like else _asked(request, extents, guide=guide, common=common, area=area)
    _check_covered(grid, extents)
    return Target(grid, area.to(grid.crs) if area else None)


def _like(request: TargetRequest) -> Grid:
    if request.crs or request.bounds:
        raise InvalidGrid("--like takes the grid of a raster as it is: leave --crs and --bounds away.")
    file = inspect_raster(str(request.like))
    return Grid(file.crs, file.transform, file.width, file.height)


def _asked(
    request: TargetRequest, extents: Sequence[Extent], *, guide: Extent, common: Bounds, area: Area | None
) -> Grid:
    lonlat = [request.bounds] if request.bounds and is_lonlat(request.bounds) else []
    if area:
        lonlat.append(project_bounds(area.bounds, area.crs, WGS84))
    middle = intersect([common, *lonlat]) or common
    crs = parse_crs(request.crs) if request.crs else choose_crs(extents, guide=guide.crs, area=middle)
    boxes = []
    if request.bounds:
        boxes.append(project_bounds(request.bounds, WGS84 if is_lonlat(request.bounds) else crs, crs))
    if area:  # the polygon's own box, not the box around its box: that would grow by the turn of the CRS
        boxes.append(area.to(crs).bounds)
    if not boxes:
        return overlap_grid(extents, crs=crs, resolution=request.resolution, area=common)
    wanted = intersect(boxes)
    if wanted is None:
        raise NoOverlap("--bounds and --geometry do not overlap: they must share some ground.")
    return snapped_grid(crs, request.resolution, wanted)


def _check_covered(grid: Grid, extents: Sequence[Extent]) -> None:
    box = project_bounds(grid.bounds, grid.crs, WGS84)
    for extent in extents:
        if intersect([box, project_bounds(extent.bounds, extent.crs, WGS84)]) is None:
            raise NoOverlap(f"The area asked for lies off {extent.name}: check --bounds, --geometry or --like.")
