"""The story of `fetch-canopy`.

    area -> tiles of the map -> bytes (cache or network) -> whole metres of 1.2 m pixels -> means -> GeoTIFF

A pixel of the output is the mean of whole pixels of the map, whichever tiles they lie in. Overviews are not
used: some are samples, not means.
"""

import json
import logging
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from jspsr_cli.errors import InvalidGrid, NotPublic, ReadFailed, WriteFailed
from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.output import is_done, stated, strips, tiles_in, work_on
from jspsr_cli.fetch.pieces import RemoteCog, absence
from jspsr_cli.fetch.quadkeys import (
    NORTHERNMOST,
    SIDE,
    WEB_MERCATOR,
    CanopyWindow,
    TilePart,
    canopy_window,
    ground_pixel,
    tile_grid,
)
from jspsr_cli.fetch.report import CanopyReport
from jspsr_cli.fetch.request import CANOPY_ORIGIN, CanopyOptions, area_of, source_of
from jspsr_cli.fetch.store import Store, check_tile
from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.canvas import Canvas
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import WGS84, name_of, project_bounds
from jspsr_cli.raster.inputs import MAX_CANOPY
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.products import CANOPY, TILES_TAG
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.warp import block_means
from jspsr_cli.raster.writer import check_disk, check_geotiff, publish
from jspsr_cli.types import Bounds, FloatArray, Progress

log = logging.getLogger(__name__)

# Where the tiles of version 1 lie in the bucket. Source: https://registry.opendata.aws/dataforgood-fb-forests
FOLDER = "forests/v1/alsgedi_global_v6_float/chm"

# What its pixels are: whole metres, as bytes in the public bucket.
DTYPES = ("uint8", "uint16", "float32")

TITLE = "canopy height"

# Pixels of the map that are read side by side: GDAL keeps the blocks under them, 512 rows, for the next rows.
COLUMNS_AT_ONCE = 32_768

# Degrees by which an area may lie across the antimeridian: a tile of GLO-30 there begins half a pixel before it.
SLIVER = 1e-3

# Share of the work that fetching is; the rest is reading what was fetched.
FETCHING = 0.8


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """An area in which everything is decided and nothing is fetched; `resolution` in metres on the ground."""

    output: Path
    window: CanopyWindow
    resolution: float
    options: CanopyOptions
    tags: dict[str, str]
    notes: tuple[str, ...]


class CanopyTiles(Store[TilePart]):
    """Tiles of the map at `source`; some are missing."""

    origin = CANOPY_ORIGIN

    def cog(self, job: TilePart) -> RemoteCog:
        """The tile of `job`."""
        address = f"{self.source}/{FOLDER}/{job.name}.tif"
        grid, name = tile_grid(job.x, job.y), f"Canopy tile {job.name}"
        where = f"{name} ({shown(address)})"
        return RemoteCog(
            address=address,
            name=name,
            key=self._key(job),
            check=lambda layout: check_tile(layout, grid, where, origin=self.origin, dtypes=DTYPES),
            optional=True,
        )

    def look_anew(self, job: TilePart) -> None:
        """Let it be asked again whether the tile of `job` is there."""
        self.cache.forget(absence(self._key(job)))

    def _key(self, job: TilePart) -> str:
        return f"{self.digest}/canopy/{job.name}"


def fetch_canopy(
    output: str | Path,
    *,
    bounds: Bounds | None = None,
    like: str | None = None,
    geometry: str | None = None,
    options: CanopyOptions | None = None,
    progress: Progress | None = None,
) -> CanopyReport:
    """Write the canopy height map of Meta and WRI over an area to `output`, a GeoTIFF that appears when complete.

    Args:
        output: heights above the ground in metres, float32, in web mercator (EPSG:3857).
        bounds: the area in degrees, west, south, east, north.
        like: a raster, or
        geometry: a file of polygons, around which the area is the box.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before pixels are fetched, 1 after; see `jspsr_cli.errors`.
    """
    started = time.monotonic()
    options, output = options or CanopyOptions(), Path(output)
    with rasterio.Env(**GDAL_OPTIONS):
        check_geotiff(output)
        area = mapped_area(bounds, like, geometry, buffer=options.buffer)
        source = source_of(options.source, origin=CANOPY_ORIGIN)
        plan = _plan(area, output=output, source=source, options=options)
        tiles = CanopyTiles(source, cache_size=options.cache_size)
        done = is_done(output, plan.window.grid, plan.tags, overwrite=options.overwrite)
        if not done:
            check_disk(output, plan.window.grid, kept=0, beside=bytes_beside(plan.window))
            _run(plan, tiles, progress or (lambda _share: None))
        return _report(plan, tiles, already_done=done, seconds=time.monotonic() - started)


def mapped_area(bounds: Bounds | None, like: str | None, geometry: str | None, *, buffer: float) -> Bounds:
    """What the map reaches of an area and `buffer` metres around it, in longitude and latitude.

    Raises:
        InvalidGrid: the area crosses the antimeridian.
        NotPublic: it lies beyond 85 degrees.
        InputError: as `area_of`.
    """
    area, buffered = (area_of(bounds, like, geometry, buffer=around) for around in (0, buffer))
    if area[0] < -TURN / 2 - SLIVER or area[2] > TURN / 2 + SLIVER:
        raise InvalidGrid(
            "The area crosses the antimeridian, where the map of EPSG:3857 ends: fetch both sides, and give enhance "
            "both files."
        )
    west, south, east, north = buffered
    if south >= NORTHERNMOST or north <= -NORTHERNMOST:
        raise NotPublic(
            "The canopy height map ends at 85 degrees of latitude, and no tree grows beyond: fetch-copernicus is bare "
            "earth there."
        )
    return (
        max(west, -TURN / 2), max(south, -NORTHERNMOST), min(east, TURN / 2), min(north, NORTHERNMOST)
    )  # fmt: skip


def _plan(area: Bounds, *, output: Path, source: str, options: CanopyOptions) -> _Plan:
    window, resolution = mapped_window(area, resolution=options.resolution)
    factor = window.factor
    note = f"a pixel is the mean of {factor} x {factor} of the map and {resolution:.3g} m wide on the ground"
    tags = {**stated(CANOPY, source), "JSPSR_RESAMPLED": note, "AREA_OR_POINT": "Area"}
    return _Plan(
        output=output,
        window=window,
        resolution=resolution,
        options=options,
        tags={key: value for key, value in tags.items() if value},
        notes=(note,),
    )


def mapped_window(area: Bounds, *, resolution: float) -> tuple[CanopyWindow, float]:
    """Pixels over an area in longitude and latitude, of about `resolution` metres, and the metres that they have."""
    pixel = ground_pixel((area[1] + area[3]) / 2)
    factor = min(max(1, round(resolution / pixel)), SIDE)
    return canopy_window(project_bounds(area, WGS84, WEB_MERCATOR), factor=factor), round(factor * pixel, 3)


def bytes_beside(window: CanopyWindow) -> int:
    """Bytes at most of the fetched pieces: one for each pixel of the map, before compression."""
    return window.width * window.height * window.factor**2


def _run(plan: _Plan, tiles: CanopyTiles, progress: Progress) -> None:
    jobs = list(plan.window.parts())
    if plan.options.refresh:
        for job in jobs:
            tiles.look_anew(job)
    with work_on(plan.output, plan.window.grid, command="fetch-canopy") as work:
        log.info("%d tiles from %s", len(jobs), shown(tiles.source))
        rows = work.folder / "heights.mean.f32"
        try:
            with closing(tiles.fetch(jobs, work.folder, progress=lambda share: progress(FETCHING * share))) as fetched:
                found = {job: path for job, path in fetched if path}
            if not found:
                raise NotPublic(
                    f"The canopy height map has no tile in the area at {shown(tiles.source)}: it is sea or not "
                    "covered, or the order of the numbers is wrong: check them and "
                    f"{tiles.origin.choices}, or look anew with jspsr {tiles.origin.command} --refresh."
                )
            _average(plan, tiles, found, rows, lambda share: progress(FETCHING + (1 - FETCHING) * share))
        except OSError as error:
            raise WriteFailed(f"{plan.output} cannot be written: {error.strerror or error}.") from error
        names = [job.name for job in jobs if job in found]
        publish(rows, plan.window.grid, plan.output, tags={**plan.tags, TILES_TAG: json.dumps(names)}, title=TITLE)
        work.discard()


def _average(plan: _Plan, tiles: CanopyTiles, found: dict[TilePart, Path], target: Path, progress: Progress) -> None:
    """Write the rows of the output, of fetched tiles, to `target`."""
    window, factor = plan.window, plan.window.factor
    jobs = {str(path): job for job, path in found.items()}
    mosaic = Mosaic(tuple(inspect_raster(path) for path in jobs))
    first = next(iter(jobs.values()))
    left, top = window.col * factor - first.x * SIDE, window.row * factor - first.y * SIDE
    with RasterReader() as reader, Canvas(target, height=window.height, width=window.width) as canvas:
        step = max(1, COLUMNS_AT_ONCE // factor)
        for col in range(0, window.width, step):
            width = min(step, window.width - col)
            for rows in strips(window.height, width * factor**2):
                part = Window(left + col * factor, top + rows.start * factor, width * factor, len(rows) * factor)
                try:
                    heights = mosaic.read(reader, part)[0]
                except ReadFailed as error:
                    raise tiles.refused(jobs.get(error.path, first)) from error
                canvas.paint(means(heights, factor), row=rows.start, col=col)
                progress((col + width * rows.stop / window.height) / window.width)


def means(heights: FloatArray, factor: int) -> FloatArray:
    """Means of squares of `factor` x `factor` pixels of `heights` (rows, columns; whole numbers of squares).

    Voids (NaN, and what no tree reaches, such as an untagged 255) do not count; where a square has nothing else, its
    mean is NaN.
    """
    known: FloatArray = np.where(heights <= MAX_CANOPY, heights, np.nan)
    rows, cols = (side // factor for side in heights.shape)
    result: FloatArray = block_means(known[np.newaxis], height=rows, width=cols)[0]
    return result


def _report(plan: _Plan, tiles: CanopyTiles, *, already_done: bool, seconds: float) -> CanopyReport:
    grid, found = plan.window.grid, tiles_in(plan.output)
    missing = [part.name for part in plan.window.parts() if part.name not in found]
    gone = (
        f"the map has no tile {', '.join(missing)}: the output has no data there (enhance --guide-gaps dem keeps the "
        "DEM there)"
    )
    return CanopyReport(
        output=str(plan.output),
        crs=name_of(grid.crs),
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        resolution=plan.resolution,
        tiles=found,
        missing_tiles=len(missing),
        bytes_fetched=tiles.downloader.received,
        already_done=already_done,
        seconds=round(seconds, 3),
        notes=plan.notes,
        warnings=(gone,) if missing else (),
    )
