"""The story of `enhance`: target grid -> aligned strips -> windows -> network -> blending -> GeoTIFF.

Not called enhance.py, so that `jspsr_cli.enhance` is the function and never this module.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio

from jspsr_cli.errors import OutputExists
from jspsr_cli.plan import EnhanceOptions, Inputs, Plan, plan_enhance
from jspsr_cli.predict import Predictor, WindowInput, WindowPredictor, default_batch, resolve_device, windows_of
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.inputs import HeightLayers, canopy_layer, image_layer, land_use_layer, shore_weight
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.strips import Layers, Strip, aligned_strips
from jspsr_cli.raster.writer import OutputWriter
from jspsr_cli.scaling import CANOPY_MAX
from jspsr_cli.tiling.blend import Blender
from jspsr_cli.types import Bounds, FloatArray, Progress
from jspsr_models import WeightsInfo

# GDAL's block cache would grow to 5 % of the machine's memory.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 256 * 2**20,
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "VSI_CACHE": "TRUE",
}

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class EnhanceReport:
    """What a run did. Lengths in metres, shares from 0 to 1, `seconds` of wall clock.

    `guide_gaps` is the share of pixels with a DEM that some guide does not cover; `relief_beyond_training` counts
    windows, `canopy_clipped` pixels (once for each window that saw them) above the range of the weights.
    """

    output: str
    crs: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    weights: str
    trained_on: str
    device: str
    already_done: bool = False
    pixels_written: int = 0
    guide_gaps: float = 0.0
    windows: int = 0
    relief_beyond_training: int = 0
    highest_relief: float = 0.0
    canopy_clipped: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


def enhance(
    dem: str | Path | Sequence[str | Path],
    *,
    weights: str | Path | tuple[Predictor, WeightsInfo] | None = None,
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
        weights: a name of the registry, a file, or a network (any callable) with what is known of it.
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
    given = {name: _paths(paths) for name, paths in guides.items() if paths}
    inputs = Inputs(dem=_paths(dem), guides=given)
    with rasterio.Env(**GDAL_OPTIONS):
        chosen = options or EnhanceOptions()
        target = Path(output or f"{Path(inputs.dem[0]).stem}_bare_earth.tif")
        plan = plan_enhance(inputs, output=target, weights=weights, options=chosen)
        report = _new_report(plan)
        if plan.output.exists() and not chosen.overwrite:
            if not plan.is_done():
                raise OutputExists(f"{plan.output} exists and is not what this command makes: see --overwrite.")
            report.already_done = True
        else:
            run(plan, report, progress=progress)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _paths(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, str | Path) else tuple(str(path) for path in given)


def _new_report(plan: Plan) -> EnhanceReport:
    grid = plan.target.grid
    return EnhanceReport(
        output=str(plan.output),
        crs=name_of(grid.crs),
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        weights=plan.weights.name,
        trained_on=plan.weights.trained_on,
        device=str(resolve_device(plan.options.device)),
        warnings=list(plan.warnings),
    )


def run(plan: Plan, report: EnhanceReport, *, progress: Progress | None = None) -> None:
    """Carry out `plan`, filling `report` on the way. Raises as `enhance`, after the work has begun."""
    grid, lattice, options = plan.target.grid, plan.lattice, plan.options
    device = resolve_device(options.device)
    log.info("device: %s, %s arithmetic", device, options.precision)
    batch_size = options.batch_size or default_batch(device, lattice.size)
    predictor = WindowPredictor(plan.network, scale=plan.scale, device=device, precision=options.precision)
    row0, col0 = grid.origin
    rows, cols = range(row0, row0 + grid.height), range(col0, col0 + grid.width)
    starts = lattice.starts(cols.start, cols.stop)
    blender = Blender(lattice, rows=rows, cols=cols)
    notes: set[str] = set()
    counts = _Counts()
    with RasterReader() as reader, OutputWriter(plan.output, grid, tags=plan.tags) as writer:
        layers = _layers(plan, reader, notes)
        for strip in aligned_strips(layers, grid, lattice):
            # Batches never cross a strip: what is predicted together does not depend on how the work is cut.
            for batch in _batches(windows_of(strip, starts=starts, size=lattice.size), batch_size):
                for window, heights in zip(batch, predictor.heights(batch), strict=True):
                    blender.add(window.col, heights)
                counts.see(batch, plan)
            first, blended = blender.finish(strip.row)
            if len(blended):
                writer.write(_finish_rows(blended, strip, first, plan, counts))
            if progress:
                progress((first - row0 + len(blended)) / grid.height)
        writer.publish()
    counts.fill(report, plan, notes)


def _layers(plan: Plan, reader: RasterReader, notes: set[str]) -> Layers:
    grid = plan.target.grid
    water = plan.options.water == "keep"
    dem = HeightLayers(plan.dem, grid, reader=reader, notes=notes, water=water)
    guides = {}
    if "image" in plan.guides:
        guides["image"] = image_layer(plan.guides["image"], grid, reader=reader, stretch=plan.stretch)
    if "mask" in plan.guides:
        guides["mask"] = land_use_layer(plan.guides["mask"], grid, reader=reader)
    if "canopy" in plan.guides:
        guides["canopy"] = canopy_layer(plan.guides["canopy"], grid, reader=reader)
    return Layers(dem, guides)


def _batches(windows: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(windows)
    while batch := list(islice(iterator, size)):
        yield batch


def _finish_rows(blended: FloatArray, strip: Strip, first: int, plan: Plan, counts: "_Counts") -> FloatArray:
    """Finished rows of the output in metres, NaN where it has no data: voids, gaps and water put in."""
    grid = plan.target.grid
    row0, col0 = grid.origin
    rows = slice(first - strip.row, first - strip.row + len(blended))
    cols = slice(col0 - strip.col, col0 - strip.col + grid.width)
    dem, guided = strip.dem[rows, cols], strip.guided[rows, cols]
    inside = np.ones(dem.shape, dtype=bool)
    if plan.target.area:
        inside = plan.target.area.inside(grid.part(first - row0, 0, len(blended), grid.width))
    known = ~np.isnan(dem) & inside
    instead = dem if plan.options.guide_gaps == "dem" else np.nan
    out: FloatArray = np.where(guided, blended, instead)
    if strip.water:
        level, share = (layer[rows, cols] for layer in strip.water)
        wet = shore_weight(share) * ~np.isnan(level)
        out = out + wet * (np.nan_to_num(level) - out)
    out[~known] = np.nan
    counts.known += int(known.sum())
    counts.gaps += int((known & ~guided).sum())
    counts.written += int((~np.isnan(out)).sum())
    return out


@dataclass
class _Counts:
    """What the report says about pixels and windows."""

    known: int = 0
    gaps: int = 0
    written: int = 0
    windows: int = 0
    beyond: int = 0
    relief: float = 0.0
    clipped: int = 0

    def see(self, batch: Sequence[WindowInput], plan: Plan) -> None:
        self.windows += len(batch)
        for window in batch:
            relief = float(window.heights.max()) - window.base
            self.relief = max(self.relief, relief)
            self.beyond += relief > plan.scale.high
            if "canopy" in window.guides:
                self.clipped += int((window.guides["canopy"] > CANOPY_MAX).sum())

    def fill(self, report: EnhanceReport, plan: Plan, notes: set[str]) -> None:
        report.pixels_written = self.written
        report.guide_gaps = self.gaps / self.known if self.known else 0.0
        report.windows = self.windows
        report.relief_beyond_training = self.beyond
        report.highest_relief = round(self.relief, 2)
        report.canopy_clipped = self.clipped
        report.warnings += sorted(notes)
        if not self.written:
            report.warnings.append("the output has no data at all: the DEM and the guides share no valid pixel")
        if self.beyond:
            report.warnings.append(
                f"{self.beyond} of {self.windows} windows have more than the {plan.scale.high:g} m of relief that the "
                "weights were trained for: check the heights there"
            )
        if self.clipped:
            report.warnings.append(f"canopy above {CANOPY_MAX:g} m was taken as {CANOPY_MAX:g} m")
