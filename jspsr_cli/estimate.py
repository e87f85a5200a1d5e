"""What a run of `enhance` would need, found out by a short trial that writes nothing: `jspsr enhance --dry-run`.

The function is not called like its module, so that `jspsr_cli.estimate_enhance` is always the function.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
import torch

from jspsr_cli.pipeline import already_done, inputs_of, unfinished_work
from jspsr_cli.plan import Plan, plan_enhance
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.writer import disk_bytes
from jspsr_cli.request import EnhanceOptions, Weights
from jspsr_cli.trial import starts_of, try_out
from jspsr_cli.types import BoolArray, Bounds
from jspsr_cli.unfinished import bytes_kept

# Seconds a pixel for compression, conversion to a COG and the putting together of rows, on one core; see
# benchmarks/estimates.py. Little beside the rest, so it is not tried out.
WRITING_SECONDS_PER_PIXEL = 0.2e-6


@dataclass(frozen=True, kw_only=True)
class EnhanceEstimate:
    """What a run would be, and what it would need. Nothing where the output is `already_done`.

    `uncertainty` is the second output, if one was asked for; `resolution` in metres, `area_km2` that of the grid or of
    the polygon in it; `window` and `overlap` in pixels. `resumed_at` is the share (0 to 1) that is finished; windows,
    seconds and disk are those of the rest. `windows_at_most`, as those without data are left out. `memory_bytes` is the
    peak of the process, `device_memory_bytes` that of torch on a CUDA device (None on others). `seconds` of wall clock
    are those that `EnhanceReport` has, so without the start of Python; None where the trial found no data.
    """

    output: str
    uncertainty: str | None
    crs: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    area_km2: float
    windows_at_most: int
    window: int
    overlap: int
    batch_size: int
    weights: str
    trained_on: str
    device: str
    precision: str
    already_done: bool
    resumed_at: float
    memory_bytes: int
    device_memory_bytes: int | None
    disk_bytes: int
    disk_free_bytes: int
    seconds: float | None
    warnings: tuple[str, ...]


def estimate_enhance(
    dem: str | Path | Sequence[str | Path],
    *,
    weights: Weights = None,
    output: str | Path | None = None,
    image: Sequence[str | Path] = (),
    mask: Sequence[str | Path] = (),
    canopy: Sequence[str | Path] = (),
    options: EnhanceOptions | None = None,
) -> EnhanceEstimate:
    """Say what `enhance` with these arguments would need, and write nothing.

    A part of a strip is aligned and one batch of windows predicted, in some seconds.

    Raises:
        JspsrError: as `enhance` would before its work, or on the pixels of the trial.
        WeightsError: the weights cannot be loaded.
    """
    started = time.perf_counter()
    inputs = inputs_of(dem, image=image, mask=mask, canopy=canopy)
    with rasterio.Env(**GDAL_OPTIONS):
        chosen = options or EnhanceOptions()
        plan = plan_enhance(inputs, output=Path(output) if output else None, weights=weights, options=chosen)
        planning = time.perf_counter() - started
        if already_done(plan):
            return _report(plan, already_done=True, warnings=plan.warnings)
        state = unfinished_work(plan).look()
        wanted = _wanted(plan)
        trial = try_out(plan, wanted)
    grid, windows, left = plan.target.grid, int(wanted[state.strips :].sum()), 1 - state.rows / plan.target.grid.height
    files = len(plan.outputs)
    seconds = None
    if trial.window_seconds is not None:
        working = together(windows * trial.window_seconds, left * trial.aligning_seconds, plan.device)
        seconds = planning + working + files * grid.width * grid.height * WRITING_SECONDS_PER_PIXEL
    return _report(
        plan,
        windows=windows,
        memory_bytes=trial.memory_bytes,
        device_memory_bytes=trial.device_memory_bytes,
        disk_bytes=disk_bytes(grid, kept=bytes_kept(plan.output), files=files),
        resumed_at=1 - left,
        seconds=seconds,
        warnings=(*plan.warnings, *trial.warnings),
    )


def _report(
    plan: Plan,
    *,
    already_done: bool = False,
    resumed_at: float = 0.0,
    windows: int = 0,
    memory_bytes: int = 0,
    device_memory_bytes: int | None = None,
    disk_bytes: int = 0,
    seconds: float | None = 0.0,
    warnings: tuple[str, ...],
) -> EnhanceEstimate:
    grid, area = plan.target.grid, plan.target.area
    return EnhanceEstimate(
        output=str(plan.output),
        uncertainty=str(plan.uncertainty.path) if plan.uncertainty else None,
        crs=name_of(grid.crs),
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        area_km2=(shapely.clip_by_rect(area.shape, *grid.bounds) if area else shapely.box(*grid.bounds)).area / 1e6,
        windows_at_most=windows,
        window=plan.lattice.size,
        overlap=plan.lattice.overlap,
        batch_size=plan.batch_size,
        weights=plan.weights.name,
        trained_on=plan.weights.trained_on,
        device=str(plan.device),
        precision=plan.predictor.precision,
        already_done=already_done,
        resumed_at=resumed_at,
        memory_bytes=memory_bytes,
        device_memory_bytes=device_memory_bytes,
        disk_bytes=disk_bytes,
        disk_free_bytes=shutil.disk_usage(plan.output.parent).free,
        seconds=seconds if seconds is None else round(seconds, 3),
        warnings=warnings,
    )


def _wanted(plan: Plan) -> BoolArray:
    """Which windows (rows, columns) reach into the polygon asked for; all, if none was."""
    grid, area, size = plan.target.grid, plan.target.area, plan.lattice.size
    rows, cols = starts_of(plan)
    if not area:
        return np.ones((len(rows), len(cols)), dtype=bool)
    shapely.prepare(area.shape)
    row0, col0 = grid.origin
    west, north = (grid.transform.c, grid.transform.f)
    left = west + (np.array(cols) - col0) * grid.resolution[0]
    top = north - (np.array(rows) - row0) * grid.resolution[1]
    right, bottom = left + size * grid.resolution[0], top - size * grid.resolution[1]
    # One row at a time: the windows of a country at 3 m are millions.
    found = [shapely.intersects(area.shape, shapely.box(left, b, right, t)) for t, b in zip(top, bottom, strict=True)]
    return np.array(found)


def together(predicting: float, aligning: float, device: torch.device) -> float:
    """Seconds of both: a thread aligns ahead, and takes its share of the cores where the network has all of them."""
    cores = os.cpu_count() or 1
    busy = torch.get_num_threads() if device.type == "cpu" else 1
    return max(aligning, predicting + (aligning / cores if busy >= cores else 0))
