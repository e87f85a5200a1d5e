"""The story of `enhance`: target grid -> aligned strips -> windows -> network -> blending -> GeoTIFF.

Not called enhance.py, so that `jspsr_cli.enhance` is always the function and never this module.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio

from jspsr_cli.errors import OutputExists
from jspsr_cli.guides import GUIDES
from jspsr_cli.plan import EnhanceOptions, Inputs, Plan, Weights, plan_enhance
from jspsr_cli.predict import WindowInput, windows_of
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.strips import Layers, Strip, aligned_strips
from jspsr_cli.raster.water import shore_weight
from jspsr_cli.raster.writer import OutputWriter, check_disk
from jspsr_cli.scaling import CANOPY_MAX
from jspsr_cli.tiling.blend import Blender
from jspsr_cli.types import Bounds, FloatArray, Progress

# GDAL's block cache would grow to 5 % of the machine's memory. 256 MB of small blocks that make way for large ones also
# leave the heap in pieces: the peak then grew by half from 32,768 to 131,072 rows, and by 3 % with 64 MB. VSI_CACHE
# would add 25 MB for every open file.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
}

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Tally:
    """What a run counts. Pixels are those of the output.

    `windows_beyond_training` have more relief than the weights were trained for; `canopy_clipped` are pixels, counted
    in each window that saw them, with a higher canopy than the weights know.
    """

    pixels_known: int = 0
    pixels_without_guide: int = 0
    pixels_written: int = 0
    windows: int = 0
    windows_beyond_training: int = 0
    highest_relief: float = 0.0
    canopy_clipped: int = 0

    def see_windows(self, batch: Sequence[WindowInput], *, highest: float) -> None:
        """Count windows whose weights were trained for a relief up to `highest` metres."""
        self.windows += len(batch)
        for window in batch:
            relief = float(window.heights.max()) - window.base
            self.highest_relief = max(self.highest_relief, relief)
            self.windows_beyond_training += relief > highest
            if "canopy" in window.guides:
                self.canopy_clipped += int((window.guides["canopy"] > CANOPY_MAX).sum())


@dataclass(kw_only=True)
class RunFacts:
    """What a run was. Lengths in metres, `guide_gaps` a share from 0 to 1, `seconds` of wall clock."""

    output: str
    crs: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    weights: str
    trained_on: str
    device: str
    already_done: bool
    guide_gaps: float
    seconds: float
    warnings: tuple[str, ...]


@dataclass(kw_only=True)
class EnhanceReport(Tally, RunFacts):
    """What a run was, and what it counted; where the output was `already_done`, nothing was."""


def enhance(
    dem: str | Path | Sequence[str | Path],
    *,
    weights: Weights = None,
    output: str | Path | None = None,
    image: Sequence[str | Path] = (),
    mask: Sequence[str | Path] = (),
    canopy: Sequence[str | Path] = (),
    options: EnhanceOptions | None = None,
    progress: Progress | None = None,
) -> EnhanceReport:
    """Make a bare-earth DEM of a global DEM and its guides, and write it to `output`.

    Args:
        dem: one elevation model or several tiles, heights in metres; any CRS.
        weights: a name of the registry, a file, or a network (any callable; a module is put into evaluation mode)
            with what is known of it.
        output: GeoTIFF to write, which appears when it is complete; by default the first DEM's name with
            `_bare_earth` in the current folder.
        image: orthophotos, or three files of one band each.
        mask: land use, DFC2022 classes, Urban Atlas 2012 codes or 15 one-hot bands.
        canopy: canopy height models in metres.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights cannot be loaded.
    """
    started = time.monotonic()
    guides = {"image": image, "mask": mask, "canopy": canopy}
    inputs = Inputs(dem=_paths(dem), guides={name: _paths(paths) for name, paths in guides.items() if paths})
    with rasterio.Env(**GDAL_OPTIONS):
        chosen = options or EnhanceOptions()
        plan = plan_enhance(inputs, output=Path(output) if output else None, weights=weights, options=chosen)
        if plan.output.exists() and not chosen.overwrite:
            if not plan.is_done():
                raise OutputExists(f"{plan.output} exists and is not what this command makes: see --overwrite.")
            return _report(plan, None, started)
        check_disk(plan.output, plan.target.grid)
        return _report(plan, run(plan, progress=progress), started)


def _paths(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, str | Path) else tuple(str(path) for path in given)


def run(plan: Plan, *, progress: Progress | None = None) -> tuple[Tally, set[str]]:
    """Carry out `plan`. Raises as `enhance`, after the work has begun.

    Returns what was counted, and what was noted on the way.
    """
    grid, lattice = plan.target.grid, plan.lattice
    log.info(
        "windows of %d pixels every %d, %d at a time on %s", lattice.size, lattice.stride, plan.batch_size, plan.device
    )
    row0, col0 = grid.origin
    rows, cols = range(row0, row0 + grid.height), range(col0, col0 + grid.width)
    starts = lattice.starts(cols.start, cols.stop)
    blender = Blender(lattice, rows=rows, cols=cols)
    tally = Tally()
    with RasterReader() as reader, OutputWriter(plan.output, grid, tags=plan.tags) as writer:
        layers = _layers(plan, reader)
        for strip in aligned_strips(layers, plan.target, lattice):
            # Batches never cross a strip: what is predicted together does not depend on how the work is cut.
            for batch in _batches(windows_of(strip, starts=starts, size=lattice.size), plan.batch_size):
                for window, heights in zip(batch, plan.predictor.heights(batch), strict=True):
                    blender.add(window.col, heights)
                tally.see_windows(batch, highest=plan.predictor.scale.high)
            first, blended = blender.finish(strip.row)
            if len(blended):
                writer.write(_finish_rows(blended, strip, first, plan, tally))
            if progress:
                progress((first - row0 + len(blended)) / grid.height)
        writer.publish()
    return tally, layers.dem.notes


def _layers(plan: Plan, reader: RasterReader) -> Layers:
    grid = plan.target.grid
    dem = HeightLayers(plan.dem, grid, reader=reader, water=plan.options.water == "keep")
    guides = {name: GUIDES[name].layer(files, grid, reader, plan.stretch) for name, files in plan.guides.items()}
    return Layers(dem, guides)


def _batches(windows: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(windows)
    while batch := list(islice(iterator, size)):
        yield batch


def _finish_rows(blended: FloatArray, strip: Strip, first: int, plan: Plan, tally: Tally) -> FloatArray:
    """Finished rows of the output in metres, NaN where it has no data: voids, gaps and water put in."""
    grid = plan.target.grid
    rows = slice(first - strip.row, first - strip.row + len(blended))
    cols = slice(grid.origin[1] - strip.col, grid.origin[1] - strip.col + grid.width)
    dem, known, guided = strip.dem[rows, cols], strip.known[rows, cols], strip.guided[rows, cols]
    instead = dem if plan.options.guide_gaps == "dem" else np.nan
    out: FloatArray = np.where(guided, blended, instead)
    if strip.water:
        level, share = (layer[rows, cols] for layer in strip.water)
        wet = shore_weight(share) * ~np.isnan(level)
        out = out + wet * (np.nan_to_num(level) - out)
    out[~known] = np.nan
    tally.pixels_known += int(known.sum())
    tally.pixels_without_guide += int((known & ~guided).sum())
    tally.pixels_written += int((~np.isnan(out)).sum())
    return out


def _report(plan: Plan, outcome: tuple[Tally, set[str]] | None, started: float) -> EnhanceReport:
    tally, notes = outcome or (Tally(), set())
    grid = plan.target.grid
    found = [*plan.warnings, *sorted(notes)]
    if outcome and not tally.pixels_written:
        found.append("the output has no data at all: the DEM and the guides share no valid pixel")
    if tally.windows_beyond_training:
        found.append(
            f"{tally.windows_beyond_training} of {tally.windows} windows have more than the "
            f"{plan.predictor.scale.high:g} m of relief that the weights were trained for: check the heights there"
        )
    if tally.canopy_clipped:
        found.append(f"canopy above {CANOPY_MAX:g} m was taken as {CANOPY_MAX:g} m")
    return EnhanceReport(
        output=str(plan.output),
        crs=name_of(grid.crs),
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        weights=plan.weights.name,
        trained_on=plan.weights.trained_on,
        device=str(plan.device),
        already_done=outcome is None,
        guide_gaps=tally.pixels_without_guide / max(1, tally.pixels_known),
        seconds=round(time.monotonic() - started, 3),
        warnings=tuple(found),
        **vars(tally),
    )
