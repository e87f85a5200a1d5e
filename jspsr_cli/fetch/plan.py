"""Everything that is decided before a tile is fetched: which pixels, of which tiles, and what the output will be."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyproj
from pyproj.crs import CompoundCRS
from rasterio.crs import CRS

from jspsr_cli.errors import InvalidGrid, NotPublic
from jspsr_cli.fetch.index import Index
from jspsr_cli.fetch.output import stated
from jspsr_cli.fetch.request import FetchOptions
from jspsr_cli.fetch.tiles import (
    BANDS,
    GAPS,
    GLO30,
    GLO90,
    NativeWindow,
    Part,
    Tile,
    named,
    native_windows,
    window_over,
)
from jspsr_cli.raster.align import MARGIN
from jspsr_cli.raster.boxes import intersect, turned, turns_to, unite
from jspsr_cli.raster.grid import WGS84, Grid, is_torn, name_of, parse_crs, project_bounds, snapped_grid
from jspsr_cli.raster.products import COPERNICUS, TILES_TAG, VERTICAL_TAG
from jspsr_cli.types import Bounds

# In metres, where another CRS is asked for: an arc-second is 31 m of latitude.
RESOLUTION = 30.0

# EGM2008 heights.
VERTICAL_EPSG = 3855


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """An area in which everything is decided and nothing is fetched.

    `windows` are the pixels to fetch, each on a lattice of its own; `native` is the one lattice that they are brought
    to, the finest that GLO-30 has there. `grid` is that of the output: the same, or `projected`.
    """

    output: Path
    grid: Grid
    native: NativeWindow
    windows: tuple[NativeWindow, ...]
    index: Index
    gaps: frozenset[Tile]
    source: str
    options: FetchOptions
    tags: dict[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def projected(self) -> bool:
        """Whether the output is in another CRS than the tiles."""
        return bool(self.grid.crs.is_projected)

    @property
    def exact(self) -> bool:
        """Whether `native` has the very pixels of GLO-30, and none of another lattice."""
        return self.windows == (self.native,)

    def fetched(self, window: NativeWindow) -> list[Part]:
        """Parts of `window` that tiles are read for."""
        held = self.index if window.series is GLO30 else self.gaps
        return [part for part in window.parts() if part.tile in held]

    def void(self, window: NativeWindow) -> list[Part]:
        """Parts of `window` in which its series has no data; what is neither fetched nor void is sea of height 0."""
        dry = GAPS if window.series is GLO30 and self.options.sea == "0" else None
        read = {part.tile for part in self.fetched(window)}
        return [part for part in window.parts() if part.tile not in read and (dry is None or part.tile in dry)]

    @property
    def written_grid(self) -> Grid:
        """`grid`, with the vertical datum in its CRS where that is asked for."""
        return replace(self.grid, crs=with_datum(self.grid.crs)) if self.options.compound_crs else self.grid


def plan_fetch(area: Bounds, *, output: Path, index: Index, source: str, options: FetchOptions) -> FetchPlan:
    """Settle the grid and the tiles of `area` (longitude and latitude).

    Raises:
        NotPublic: part of it is public at 90 m only, and `strict` was asked for.
        InvalidOption, InvalidGrid, NoOverlap: the CRS asked for cannot work there.
    """
    crs = parse_crs(options.crs) if options.crs else WGS84
    grid = _projected(area, crs) if crs != WGS84 else None
    needed = _with_margin(project_bounds(grid.bounds, crs, WGS84)) if grid else area
    windows = native_windows(needed, GLO30)
    native = window_over(needed, GLO30, max(window.columns for window in windows))
    tiles = {part.tile for window in windows for part in window.parts()}
    gaps = frozenset(tiles & GAPS - index)
    if gaps and options.strict:
        raise NotPublic(f"GLO-30 is not public at {named(gaps)}: leave --strict away to have GLO-90 there.")
    if gaps or windows != [native]:
        windows = native_windows(_with_margin(needed), GLO30)
        tiles = {part.tile for window in windows for part in window.parts()}
        windows += [window for box in _gap_boxes(needed, gaps) for window in native_windows(box, GLO90)]
    plan = FetchPlan(
        output=output,
        grid=grid or native.grid,
        native=native,
        windows=tuple(windows),
        index=index,
        gaps=gaps,
        source=source,
        options=options,
        tags={},
        notes=tuple(_notes(native, windows, gaps, grid)),
        warnings=() if tiles & index or gaps else ("there is no land in the area: check the order of its numbers",),
    )
    return replace(plan, tags=_tags(plan))


def with_datum(crs: CRS) -> CRS:
    """`crs` and EGM2008 heights as one CRS."""
    flat, height = pyproj.CRS.from_wkt(crs.to_wkt()), pyproj.CRS.from_epsg(VERTICAL_EPSG)
    return CRS.from_wkt(CompoundCRS(f"{flat.name} + {height.name}", [flat, height]).to_wkt())


def _projected(area: Bounds, crs: CRS) -> Grid:
    if is_torn(crs, area):
        raise InvalidGrid(f"The map of {name_of(crs)} ends within the area: choose another --crs.")
    return snapped_grid(crs, RESOLUTION, project_bounds(area, WGS84, crs))


def _with_margin(box: Bounds) -> Bounds:
    """`box` and what the alignment reads around it, in the widest pixels that are there."""
    columns = min(window.columns for window in native_windows(box, GLO30))
    x, y = MARGIN / columns, MARGIN / GLO90.rows
    return box[0] - x, max(-90, box[1] - y), box[2] + x, min(90, box[3] + y)


def _gap_boxes(box: Bounds, gaps: frozenset[Tile]) -> list[Bounds]:
    """What of the gaps lies in `box`, as one box; empty where there are none."""
    if not gaps:
        return []
    around = unite([(gap.west, gap.south, gap.west + 1, gap.south + 1) for gap in gaps])
    held = intersect([box, turned(around, turns_to((box[0] + box[2]) / 2, around))])
    return [_with_margin(held)] if held else []


def _notes(
    native: NativeWindow, windows: Sequence[NativeWindow], gaps: frozenset[Tile], grid: Grid | None
) -> list[str]:
    """What was resampled, and why; `grid` where that is projected."""
    notes = []
    wider = {window.columns for window in windows if window.series is GLO30} - {native.columns}
    if wider:
        places = " and ".join(str(start) for start, columns in reversed(BANDS) if columns in wider)
        notes.append(
            f"the area crosses {places} degrees of latitude, where the columns of GLO-30 become wider: poleward of it "
            f"is resampled (bicubic) to 1/{native.columns} of a degree"
        )
    if gaps:
        notes.append(f"GLO-30 is not public at {named(gaps)}: GLO-90 is resampled (bicubic) in its place")
    if grid:
        notes.append(f"all is resampled to {name_of(grid.crs)} at {RESOLUTION:g} m")
    return notes


def _tags(plan: FetchPlan) -> dict[str, str]:
    """What the output says of itself. No times, and nothing that only the network tells: it is what it is known by."""
    names = [part.tile.name(window.series) for window in plan.windows for part in plan.fetched(window)]
    tags = {
        **stated(COPERNICUS, plan.source),
        VERTICAL_TAG: COPERNICUS.vertical_datum,
        TILES_TAG: json.dumps(list(dict.fromkeys(names))),
        "JSPSR_RESAMPLED": "; ".join(plan.notes),
        "JSPSR_SEA": plan.options.sea,
        "AREA_OR_POINT": "Area" if plan.projected else "Point",
    }
    return {key: value for key, value in tags.items() if value}
