"""What `enhance --fetch` would fetch: `jspsr enhance --fetch --dry-run`, where the inputs are not there yet."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.windows import Window

from jspsr_cli.fetch.archive import Archive
from jspsr_cli.fetch.canopy import mapped_area, mapped_window
from jspsr_cli.fetch.inputs import InputsPlan
from jspsr_cli.fetch.plan import plan_fetch
from jspsr_cli.fetch.request import CanopyOptions, FetchOptions, area_of, source_of
from jspsr_cli.provenance import SIMULATED_NOTICE
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.writer import disk_bytes
from jspsr_cli.types import Bounds
from jspsr_cli.unfinished import bytes_kept

# Pixels a side of the blocks in which tiles are stored: those of GLO-30 have 1024, no other archive's larger ones.
BLOCK = 1024

# Of a pixel of GLO-30, before compression; one of canopy has one byte.
HEIGHT_BYTES = 4

UNKNOWN = "memory, time and gaps in the data are known only when the inputs are there"


@dataclass(frozen=True, kw_only=True)
class FetchEstimate:
    """What `enhance` would make, and what it would fetch for that, by role.

    `weights` and `trained_on` are what `enhance` would use. `resolution` in metres, `bounds` in `crs`. `disk_bytes` are
    those of the output. `fetch` has for each role the file, its tiles and the most bytes that they can take; what the
    cache has of them is not fetched.
    """

    output: str
    crs: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    weights: str
    trained_on: str
    disk_bytes: int
    disk_free_bytes: int
    fetch: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]


def estimate_fetch(plan: InputsPlan) -> FetchEstimate:
    """Say what `fetch_inputs` would fetch. Opens no connection and writes nothing beside the output."""
    grid = plan.grid
    with rasterio.Env(**GDAL_OPTIONS):
        fetch = {role: PREVIEWS[role](plan) for role in plan.missing}
    return FetchEstimate(
        output=str(plan.output),
        crs=name_of(grid.crs),
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        weights=plan.info.name,
        trained_on=plan.info.trained_on,
        disk_bytes=disk_bytes(grid, kept=bytes_kept(plan.output)),
        disk_free_bytes=shutil.disk_usage(plan.output.parent).free,
        fetch=fetch,
        warnings=(*([SIMULATED_NOTICE] if plan.info.simulated else []), UNKNOWN),
    )


def _copernicus(plan: InputsPlan) -> dict[str, Any]:
    options = FetchOptions(buffer=plan.place.buffer)
    source = source_of(options.source)
    index = Archive(source, cache_size=options.cache_size).index(refresh=False)
    area = area_of(plan.place.bounds, None, None, buffer=plan.place.buffer)
    found = plan_fetch(area, output=plan.file("dem"), index=index, source=source, options=options)
    parts = [(window.series, part) for window in found.windows for part in found.fetched(window)]
    tiles = [part.tile.name(series) for series, part in parts]
    return _told(plan.file("dem"), tiles, HEIGHT_BYTES * pixels_of_blocks(part.source for _, part in parts))


def _canopy(plan: InputsPlan) -> dict[str, Any]:
    inside = mapped_area(plan.place.bounds, None, None, buffer=plan.place.buffer)
    window, _ = mapped_window(inside, resolution=CanopyOptions().resolution)
    parts = list(window.parts())
    return _told(plan.file("canopy"), [part.name for part in parts], pixels_of_blocks(part.source for part in parts))


def _told(file: Path, tiles: Iterable[str], most: int) -> dict[str, Any]:
    return {"file": str(file), "tiles": list(dict.fromkeys(tiles)), "bytes_at_most": most}


def pixels_of_blocks(windows: Iterable[Window]) -> int:
    """Pixels of the blocks of tiles that `windows` touch: less cannot be fetched."""

    def blocks(first: float, length: float) -> int:
        return int((first + length - 1) // BLOCK - first // BLOCK + 1)

    return sum(blocks(w.row_off, w.height) * blocks(w.col_off, w.width) for w in windows) * BLOCK**2


PREVIEWS: dict[str, Callable[[InputsPlan], dict[str, Any]]] = {"dem": _copernicus, "canopy": _canopy}
