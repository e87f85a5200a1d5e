"""A short trial of a plan: how long its windows and its aligning take here, and how much memory. Writes nothing."""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch

from jspsr_cli.pipeline import layers_of, predicted
from jspsr_cli.plan import Plan
from jspsr_cli.predict import batches_of, windows_of
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.strips import Layers, Strip, aligned_strips, base_margin
from jspsr_cli.raster.target import Target
from jspsr_cli.raster.water import WaterLayer
from jspsr_cli.types import BoolArray

# Of each thing that is timed, at least. Shorter, and the noise of the machine is what is measured.
TRIAL_SECONDS = 1.0

# A first call takes longer than those after it, by a second or so, and is not counted; beyond this it is, since one
# more would cost more than it tells.
LONG_SECONDS = 10.0

# Columns that are aligned at once in the trial, between one look at the clock and the next: most kinds of source take
# well below a second for them.
TRIAL_COLUMNS = 256

# Where data are looked for, as shares of the rows of windows and of the windows in a row.
PLACES = (1 / 2, 1 / 4, 3 / 4)

# Strips that are in memory at once: the one that is worked on, the one that is read ahead, and the rows that it is put
# together of.
STRIPS_HELD = 3

# Arrays of float64, as high as a stride, in which finished rows are put together.
FINISHING_ARRAYS = 5

# Source pixels of one block and their copy in GDAL's hands. A run has them beside a batch of windows, the trial one
# after the other.
READING_BYTES = 50 * 2**20

# Python with torch and rasterio and a small network at work, where the system does not tell.
PROCESS_BYTES = 400 * 2**20

FLOAT32, FLOAT64 = 4, 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Seconds of one window (None: there was none) and of all aligning, bytes at the peak, what was noted."""

    window_seconds: float | None
    aligning_seconds: float
    memory_bytes: int
    device_memory_bytes: int | None
    warnings: tuple[str, ...]


def starts_of(plan: Plan) -> tuple[range, range]:
    """First rows and first columns of all windows, counted from the origin of the CRS."""
    grid, lattice = plan.target.grid, plan.lattice
    row0, col0 = grid.origin
    return lattice.starts(row0, row0 + grid.height), lattice.starts(col0, col0 + grid.width)


def try_out(plan: Plan, wanted: BoolArray) -> Trial:
    """Align a piece of a strip and predict its windows; `wanted` are the windows (rows, columns) that may have data.

    Raises:
        JspsrError: what a run would on these pixels.
    """
    on_cuda = plan.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(plan.device)
    notes: set[str] = set()
    window_seconds = None
    with RasterReader() as reader:
        for piece in _pieces(plan, wanted):
            layers = layers_of(piece, reader)
            strip = next(aligned_strips(layers, piece.target, plan.lattice))
            window_seconds = _window_seconds(plan, strip)
            notes |= layers.dem.notes
            if window_seconds is not None:
                break
        aligning_seconds = _aligning_seconds(plan, layers, strip)
    if window_seconds is None:
        notes.add("the trial found no data: the DEM and the guides may share no valid pixel")
    log.info("trial: %.3g s a window, %.3g s of aligning in all", window_seconds or 0, aligning_seconds)
    return Trial(
        window_seconds=window_seconds,
        aligning_seconds=aligning_seconds,
        memory_bytes=_peak_bytes() + _run_bytes(plan, layers),
        device_memory_bytes=torch.cuda.max_memory_allocated(plan.device) if on_cuda else None,
        warnings=tuple(sorted(notes)),
    )


def _pieces(plan: Plan, wanted: BoolArray) -> Iterator[Plan]:
    """The plan for pieces of it that have a batch of windows, from the middle outwards."""
    grid, lattice = plan.target.grid, plan.lattice
    row0, col0 = grid.origin
    rows, cols = starts_of(plan)
    if not wanted.any():  # the polygon misses the box asked for: a run reads it all the same
        wanted = np.ones_like(wanted)
    found, places = np.flatnonzero(wanted.any(axis=1)), []
    for down, along in product(PLACES, PLACES):
        row = found[int(down * len(found))]
        there = np.flatnonzero(wanted[row])
        places.append((row, min(there[int(along * len(there))], max(0, len(cols) - plan.batch_size))))
    for row, first in dict.fromkeys(places):
        last = min(first + plan.batch_size, len(cols)) - 1
        # The middles of the windows: what is around them comes with the strip.
        top, left = rows[row] + lattice.size // 2 - row0, cols[first] + lattice.size // 2 - col0
        part = grid.part(top, left, 1, cols[last] - cols[first] + 1)
        yield replace(plan, target=Target(part, plan.target.area))


def _window_seconds(plan: Plan, strip: Strip) -> float | None:
    """Seconds of one window, in a batch, or None where the strip has none."""
    size = plan.lattice.size
    starts = range(strip.col, strip.col + strip.dem.shape[1] - size + 1, plan.lattice.stride)
    batch = next(batches_of(windows_of(strip, starts=starts, size=size), plan.batch_size), None)
    if batch is None:
        return None

    def predict() -> None:
        predicted(plan, next(batches_of(windows_of(strip, starts=starts, size=size), plan.batch_size)))

    return _paced(predict) / len(batch)


def _paced(call: Callable[[], None]) -> float:
    """Mean seconds of a `call`, but for the first."""
    started = time.perf_counter()
    call()
    first = time.perf_counter()
    if first - started > LONG_SECONDS:
        return first - started
    count, now = 0, first
    while now - first < TRIAL_SECONDS:
        call()
        count, now = count + 1, time.perf_counter()
    return (now - first) / count


def _reads(plan: Plan, layers: Layers) -> list[tuple[AlignedLayer | WaterLayer, int, int]]:
    """Each layer with the margin in which it is read around the windows, and the bytes of a pixel of it."""
    others = [layers.dem.water, *layers.guides.values()]
    margins = [(layers.dem.heights, base_margin(plan.target.grid, plan.lattice)), *((layer, 0) for layer in others)]
    return [(layer, margin, layer.bands * FLOAT32) for layer, margin in margins if layer]


def _aligning_seconds(plan: Plan, layers: Layers, strip: Strip) -> float:
    """Seconds of aligning everything, from the rows that come new with `strip`; every row is read once.

    Water costs more where there is some, and those rows may have more or less of it than others.
    """
    stride, size = plan.lattice.stride, plan.lattice.size
    rows, cols = starts_of(plan)
    height, seconds = rows[-1] - rows[0] + size, 0.0
    for layer, margin, _ in _reads(plan, layers):
        row0, col0 = layer.grid.origin
        left, right = cols[0] - margin - col0, cols[-1] + size + margin - col0
        spans = [range(col, min(col + TRIAL_COLUMNS, right)) for col in range(left, right, TRIAL_COLUMNS)]
        here = (strip.col - col0 - left) // TRIAL_COLUMNS
        row_seconds = _row_seconds(layer, strip.row - row0, [*spans[here:], *spans[:here]], height=stride)
        seconds += row_seconds * math.ceil((height + 2 * margin) / stride)
    return seconds


def _row_seconds(layer: AlignedLayer | WaterLayer, row: int, spans: Sequence[range], *, height: int) -> float:
    """Seconds of reading `height` rows of `layer` in all `spans` of columns, from the first few of them.

    The first reads what the others find in GDAL's cache, where the source is stored by rows.
    """
    started = time.perf_counter()
    layer.read(row, spans[0].start, height, len(spans[0]))
    first = now = time.perf_counter()
    done = 0
    for span in spans[1:]:
        layer.read(row, span.start, height, len(span))
        done, now = done + len(span), time.perf_counter()
        if now - first > TRIAL_SECONDS:
            break
    return first - started + (now - first) / max(1, done) * sum(map(len, spans[1:]))


def _run_bytes(plan: Plan, layers: Layers) -> int:
    """Bytes that a run takes beyond the trial.

    GDAL's cache, and what is as wide as the output: strips, sums, finished rows, and what is on its way to the disk.
    """
    size, stride = plan.lattice.size, plan.lattice.stride
    cols = starts_of(plan)[1]
    width = cols[-1] - cols[0] + size
    strips = sum((size + 2 * margin) * (width + 2 * margin) * each for _, margin, each in _reads(plan, layers))
    planes = math.prod(plan.planes)
    blending = (planes * (size + stride) + FINISHING_ARRAYS * stride) * plan.target.grid.width * FLOAT64
    waiting = (3 * stride * FLOAT32 + plan.lattice.overlap * FLOAT64) * planes * plan.target.grid.width
    return READING_BYTES + cast(int, GDAL_OPTIONS["GDAL_CACHEMAX"]) + STRIPS_HELD * strips + blending + waiting


def _peak_bytes() -> int:
    """Most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # a child's ru_maxrss begins at the peak of the process that started it
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return PROCESS_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
