"""The story of `fetch-copernicus`.

    area -> tiles -> bytes (cache or network) -> pixels as published -> one lattice -> GeoTIFF

Pixels are copied, not resampled, where one band of latitude of GLO-30 suffices. Else those of the finest lattice are
copied and the others brought to it, and only then all to another CRS, if that is asked for: where two lattices met on
the way to a third, their edge would show.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from jspsr_cli.errors import WriteFailed
from jspsr_cli.fetch.archive import Archive, Job
from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.output import copy_tiles, is_done, paint_void, strips, work_on
from jspsr_cli.fetch.plan import FetchPlan, plan_fetch
from jspsr_cli.fetch.report import FetchReport
from jspsr_cli.fetch.request import FetchOptions, area_of, source_of
from jspsr_cli.fetch.tiles import GLO30
from jspsr_cli.raster.canvas import Canvas
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import Grid, name_of
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.products import VERTICAL_TAG
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, inspect_raster
from jspsr_cli.raster.writer import check_disk, check_geotiff, describe, publish
from jspsr_cli.types import Bounds, Progress

log = logging.getLogger(__name__)

TITLE = "surface elevation"


def fetch_copernicus(
    output: str | Path,
    *,
    bounds: Bounds | None = None,
    like: str | None = None,
    geometry: str | None = None,
    options: FetchOptions | None = None,
    progress: Progress | None = None,
) -> FetchReport:
    """Write Copernicus GLO-30 over an area to `output`, a GeoTIFF that appears when it is complete.

    Args:
        output: heights in metres above EGM2008, float32; longitude and latitude unless another CRS is asked for.
        bounds: the area in degrees, west, south, east, north; across the antimeridian west is greater than east, or
            east greater than 180.
        like: a raster, or
        geometry: a file of polygons, around which the area is the box.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before anything is fetched, 1 after; see `jspsr_cli.errors`.
    """
    started = time.monotonic()
    options, output = options or FetchOptions(), Path(output)
    with rasterio.Env(**GDAL_OPTIONS):
        check_geotiff(output)
        area = area_of(bounds, like, geometry, buffer=options.buffer)
        source = source_of(options.source)
        archive = Archive(source, cache_size=options.cache_size)
        index = archive.index(refresh=options.refresh)
        plan = plan_fetch(area, output=output, index=index, source=source, options=options)
        done = is_done(output, plan.written_grid, plan.tags, overwrite=options.overwrite)
        if not done:
            check_disk(output, plan.grid, kept=0, beside=bytes_beside(plan))
            _run(plan, archive, progress or (lambda _share: None))
        return _report(plan, archive, already_done=done, seconds=time.monotonic() - started)


def bytes_beside(plan: FetchPlan) -> int:
    """Bytes at most of the fetched pieces, and of the pixels as they are published where those are resampled."""
    fetched = sum(window.width * window.height for window in plan.windows)
    native = plan.native.width * plan.native.height
    return 4 * (fetched + (fetched if not plan.exact else 0) + (native if plan.projected else 0))


def _run(plan: FetchPlan, archive: Archive, progress: Progress) -> None:
    with work_on(plan.output, plan.grid, command="fetch-copernicus") as work:
        steps = _steps(progress, 1 + (not plan.exact) + plan.projected)
        try:
            copied = _copy_tiles(plan, archive, work.folder, next(steps))
            rows = copied[0] if plan.exact else _joined(plan, copied, work.folder / "heights.joined.f32", next(steps))
            if plan.projected:
                rows = _projected(plan, rows, work.folder / "heights.projected.f32", next(steps))
        except OSError as error:
            raise WriteFailed(f"{plan.output} cannot be written: {error.strerror or error}.") from error
        publish(rows, plan.written_grid, plan.output, tags=plan.tags, title=TITLE)
        work.discard()


def _steps(progress: Progress, count: int) -> Iterator[Progress]:
    """Progress for each of `count` steps in turn."""

    def step(done: int, share: float) -> None:
        progress((done + share) / count)

    return (partial(step, done) for done in range(count))


def _copy_tiles(plan: FetchPlan, archive: Archive, folder: Path, progress: Progress) -> list[Path]:
    """Rows of each window of the plan in a file, with the pixels as they are published."""
    files = {window: folder / f"heights.native{i}.f32" for i, window in enumerate(plan.windows)}
    with ExitStack() as stack:
        canvases = {
            window: stack.enter_context(Canvas(path, height=window.height, width=window.width))
            for window, path in files.items()
        }
        for window, canvas in canvases.items():
            for part in plan.void(window):
                paint_void(part, canvas)
        jobs = [Job(window, part) for window in plan.windows for part in plan.fetched(window)]
        log.info("%d tiles from %s", len(jobs), shown(plan.source))
        copy_tiles(archive, jobs, folder, canvas=lambda job: canvases[job.window], progress=progress)
    return list(files.values())


def _joined(plan: FetchPlan, copied: Sequence[Path], target: Path, progress: Progress) -> Path:
    """Rows of the plan's native lattice, of windows on several."""
    files = [_as_raster(path, window.grid) for window, path in zip(plan.windows, copied, strict=True)]
    native = plan.native
    # Those on the lattice itself are copied: interpolation would return them to some digits only.
    same = [
        (Mosaic((file,)), native.row - window.row, native.col - window.col)
        for window, file in zip(plan.windows, files, strict=True)
        if (window.series, window.columns) == (native.series, native.columns)
    ]
    with RasterReader() as reader, Canvas(target, height=native.height, width=native.width) as canvas:
        heights = HeightLayers(files, native.grid, reader=reader, water=False).heights
        for strip in strips(native.height, native.width):
            values = heights.read(strip.start, 0, len(strip), native.width)[0]
            for mosaic, row, col in same:
                pixels = mosaic.read(reader, Window(col, row + strip.start, native.width, len(strip)))[0]
                values = np.where(np.isnan(pixels), values, pixels)
            canvas.paint(values, row=strip.start, col=0)
            progress(strip.stop / native.height)
    return target


def _projected(plan: FetchPlan, rows: Path, target: Path, progress: Progress) -> Path:
    """Rows of the output's grid, of those of the native lattice."""
    grid, file = plan.grid, _as_raster(rows, plan.native.grid)
    with RasterReader() as reader, Canvas(target, height=grid.height, width=grid.width) as canvas:
        heights = HeightLayers([file], grid, reader=reader, water=False).heights
        for strip in strips(grid.height, grid.width):
            canvas.paint(heights.read(strip.start, 0, len(strip), grid.width)[0], row=strip.start, col=0)
            progress(strip.stop / grid.height)
    return target


def _as_raster(rows: Path, grid: Grid) -> RasterFile:
    return inspect_raster(str(describe(rows, grid, tags={}, title=TITLE)))


def _report(plan: FetchPlan, archive: Archive, *, already_done: bool, seconds: float) -> FetchReport:
    names = [part.tile.name(window.series) for window in plan.windows for part in plan.fetched(window)]
    seen = {part.tile for window in plan.windows for part in window.parts() if window.series is GLO30}
    return FetchReport(
        output=str(plan.output),
        crs=name_of(plan.written_grid.crs),
        vertical_datum=plan.tags[VERTICAL_TAG],
        bounds=plan.grid.bounds,
        width=plan.grid.width,
        height=plan.grid.height,
        tiles=tuple(dict.fromkeys(names)),
        sea_tiles=len(seen - plan.index - plan.gaps),
        bytes_fetched=archive.downloader.received,
        already_done=already_done,
        seconds=round(seconds, 3),
        notes=plan.notes,
        warnings=plan.warnings,
    )
