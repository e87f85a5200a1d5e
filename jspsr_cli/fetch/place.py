"""Where the output of `enhance --fetch` lies: its grid, and the ground that its windows see."""

from dataclasses import replace
from pathlib import Path

from jspsr_cli.errors import InvalidOption
from jspsr_cli.fetch.sources import Place
from jspsr_cli.guides import GUIDES
from jspsr_cli.limits import DEFAULT_BUFFER, DEFAULT_RESOLUTION, DEFAULT_WINDOW
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.grid import WGS84, Extent, Grid, parse_crs, project_bounds
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.polygons import read_area
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.target import TargetRequest, in_one_piece, is_lonlat, target_of
from jspsr_cli.request import EnhanceOptions, Inputs

# In metres: the window of the released weights, which the usual buffer is made for.
USUAL_WINDOW = DEFAULT_WINDOW * DEFAULT_RESOLUTION


def grid_asked(given: Inputs, options: EnhanceOptions, *, resolution: float) -> Grid:
    """The grid of the output, which is over what is given and asked for."""
    request = TargetRequest(
        options.resolution or resolution, options.crs, options.bounds, options.like, options.geometry
    )
    guides = [
        extent_of(GUIDES[name].open(given.guides[name], options.guide_bands)) for name in GUIDES if name in given.guides
    ]
    extents = [*([extent_of(open_dem(given.dem))] if given.dem else []), *guides] or _extents_asked(request)
    leading = guides[0] if guides else replace(extents[0], crs=WGS84)
    return target_of(request, extents, guide=leading).grid


def _extents_asked(request: TargetRequest) -> list[Extent]:
    """Where only an area is given: its box. Raises InvalidOption where it does not say where on Earth it lies."""
    bounds = request.bounds
    if not bounds and request.like:
        return [inspect_raster(request.like).extent]
    if not bounds:
        area = read_area(str(request.geometry))
        return [Extent(area.crs, area.bounds, Path(str(request.geometry)).name)]
    if is_lonlat(bounds):
        return [Extent(WGS84, in_one_piece(bounds), "the area of --bounds")]
    if not request.crs:
        raise InvalidOption("Bounds in metres need their CRS where no raster is given: add --crs, or give degrees.")
    return [Extent(parse_crs(request.crs), bounds, "the area of --bounds")]


def place_of(grid: Grid, *, window: int) -> Place:
    """Where `grid` lies, and as much around it as windows of `window` pixels see."""
    box = project_bounds(grid.bounds, grid.crs, WGS84)
    wider = max(1.0, window * max(grid.resolution) / USUAL_WINDOW)
    return Place(bounds=box, buffer=DEFAULT_BUFFER * wider)
