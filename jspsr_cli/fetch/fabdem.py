"""The story of `fetch-fabdem`.

    area -> tiles -> blocks that hold them -> bytes (cache or network) -> pixels as published -> GeoTIFF

Which tiles there are, the directories of the blocks tell: what the output is known by does not depend on it.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from jspsr_cli.errors import NotPublic, WriteFailed
from jspsr_cli.fetch.archive import Job
from jspsr_cli.fetch.blocks import FABDEM_SERIES, Blocks, tile_name
from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.index import land
from jspsr_cli.fetch.output import copy_tiles, is_done, paint_void, stated, tiles_in, work_on
from jspsr_cli.fetch.report import FetchReport
from jspsr_cli.fetch.request import FABDEM_ORIGIN, FabdemOptions, area_of, source_of
from jspsr_cli.fetch.tiles import ARC_SECONDS, NativeWindow, named, window_over
from jspsr_cli.raster.canvas import Canvas
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.products import FABDEM, TILES_TAG, VERTICAL_TAG
from jspsr_cli.raster.writer import NODATA, check_disk, check_geotiff, publish
from jspsr_cli.types import Bounds, FloatArray, Progress

log = logging.getLogger(__name__)

# Latitudes between which FABDEM has tiles. The row of posts on 60 S itself belongs to the tile south of it, and a tile
# that reaches to 80 N ends half a pixel beyond.
SOUTH, NORTH = -60.0, 80.0
HALF_PIXEL = 0.5 / ARC_SECONDS

TITLE = "bare-earth elevation"

LICENCE_NOTE = (
    "FABDEM is licensed CC BY-NC-SA 4.0: not for commercial use, and what is derived from it inherits that licence"
)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """An area in which everything is decided and nothing is fetched."""

    output: Path
    window: NativeWindow
    options: FabdemOptions
    tags: dict[str, str]


def fetch_fabdem(
    output: str | Path,
    *,
    bounds: Bounds | None = None,
    like: str | None = None,
    geometry: str | None = None,
    options: FabdemOptions | None = None,
    progress: Progress | None = None,
) -> FetchReport:
    """Write FABDEM V1-2 over an area to `output`, a GeoTIFF that appears when it is complete.

    Args:
        output: heights in metres above EGM2008, float32; longitude and latitude, the pixels as they are published.
        bounds: the area in degrees, west, south, east, north; across the antimeridian west is greater than east, or
            east greater than 180.
        like: a raster, or
        geometry: a file of polygons, around which the area is the box.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before pixels are fetched, 1 after; see `jspsr_cli.errors`.
    """
    started = time.monotonic()
    options, output = options or FabdemOptions(), Path(output)
    with rasterio.Env(**GDAL_OPTIONS):
        check_geotiff(output)
        _check_covered(area_of(bounds, like, geometry, buffer=0))
        west, south, east, north = area_of(bounds, like, geometry, buffer=options.buffer)
        box = (west, max(south, SOUTH + HALF_PIXEL), east, min(north, NORTH))
        source = source_of(options.source, origin=FABDEM_ORIGIN)
        plan = _plan(window_over(box, FABDEM_SERIES, ARC_SECONDS), output=output, source=source, options=options)
        blocks = Blocks(source, cache_size=options.cache_size)
        done = is_done(output, plan.window.grid, plan.tags, overwrite=options.overwrite)
        if not done:
            pixels = plan.window.width * plan.window.height
            check_disk(output, plan.window.grid, kept=0, beside=4 * pixels)
            _run(plan, blocks, progress or (lambda _share: None))
        return _report(plan, blocks, already_done=done, seconds=time.monotonic() - started)


def _check_covered(area: Bounds) -> None:
    _, south, _, north = area
    if south < SOUTH - 2 * HALF_PIXEL or north > NORTH + 2 * HALF_PIXEL:
        raise NotPublic(
            f"FABDEM reaches from 60 S to 80 N and the area from {south:.4g} to {north:.4g} degrees of latitude: "
            "choose a smaller one, or fetch-copernicus."
        )


def _plan(window: NativeWindow, *, output: Path, source: str, options: FabdemOptions) -> _Plan:
    tags = {
        **stated(FABDEM, source),
        VERTICAL_TAG: FABDEM.vertical_datum,
        "JSPSR_SEA": options.sea,
        "AREA_OR_POINT": "Point",
    }
    return _Plan(output=output, window=window, options=options, tags={k: v for k, v in tags.items() if v})


def _run(plan: _Plan, blocks: Blocks, progress: Progress) -> None:
    window = plan.window
    jobs = [Job(window, part) for part in window.parts()]
    if plan.options.refresh:
        for job in jobs:
            blocks.look_anew(job.part.tile)

    def at_sea(heights: FloatArray) -> FloatArray:
        level: FloatArray = np.where(np.isnan(heights) | (heights == NODATA), np.float32(0), heights)
        return level

    flood = plan.options.sea == "0"
    with work_on(plan.output, window.grid, command="fetch-fabdem") as work:
        rows = work.folder / "heights.native.f32"
        log.info("%d tiles from %s", len(jobs), shown(blocks.source))
        try:
            with Canvas(rows, height=window.height, width=window.width) as canvas:
                prepare = at_sea if flood else lambda heights: heights
                without = copy_tiles(
                    blocks, jobs, work.folder, canvas=lambda _: canvas, prepare=prepare, progress=progress
                )
                if len(without) == len(jobs):
                    raise NotPublic(
                        f"FABDEM has no tile in the area at {shown(blocks.source)}: it is sea, or the order of the "
                        f"numbers is wrong: check them and {blocks.origin.choices}, or look anew with jspsr "
                        f"{blocks.origin.command} --refresh."
                    )
                for job in without:
                    if not flood or job.part.tile in land():
                        paint_void(job.part, canvas)
        except OSError as error:
            raise WriteFailed(f"{plan.output} cannot be written: {error.strerror or error}.") from error
        found = [tile_name(job.part.tile) for job in jobs if job not in without]
        tags = {**plan.tags, TILES_TAG: json.dumps(list(dict.fromkeys(found)))}
        publish(rows, window.grid, plan.output, tags=tags, title=TITLE)
        work.discard()


def _report(plan: _Plan, blocks: Blocks, *, already_done: bool, seconds: float) -> FetchReport:
    window, found = plan.window, tiles_in(plan.output)
    without = {part.tile for part in window.parts() if tile_name(part.tile) not in found}
    gaps = without & land()
    return FetchReport(
        output=str(plan.output),
        crs=name_of(window.grid.crs),
        vertical_datum=plan.tags[VERTICAL_TAG],
        bounds=window.grid.bounds,
        width=window.width,
        height=window.height,
        tiles=found,
        sea_tiles=len(without - gaps),
        bytes_fetched=blocks.downloader.received,
        already_done=already_done,
        seconds=round(seconds, 3),
        notes=() if already_done else (LICENCE_NOTE,),
        warnings=(f"FABDEM has no tile at {named(gaps)}, where there is land: it has no data there",) if gaps else (),
    )
