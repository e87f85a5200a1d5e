"""Strips of the grid, one after the other, into tallies."""

import math
from dataclasses import dataclass, field

import numpy as np

from jspsr_cli.assess.bins import Counts
from jspsr_cli.assess.ground import PARTITIONS, slope
from jspsr_cli.assess.rasters import Layers
from jspsr_cli.assess.tally import Tally
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import BoolArray, FloatArray, Progress

OVERALL = "overall"

# Pixels of a strip: 16 MB of each raster, and some times that while it is worked on.
STRIP_PIXELS = 4_000_000
FEWEST_ROWS, MOST_ROWS = 16, 1024

# The distribution of errors of each block takes 12 kB. Blocks become larger where there would be more: more than that
# do not make an interval better.
MOST_BLOCKS = 2500


@dataclass(frozen=True)
class Blocks:
    """Squares of `side` metres on the grid, of so many `rows` and `cols` of pixels each, `across` beside each other."""

    side: float
    rows: int
    cols: int
    across: int
    count: int

    @classmethod
    def of(cls, grid: Grid, side: float) -> "Blocks":
        """Blocks of `side` metres, or larger ones where there would be too many."""
        xres, yres = grid.resolution
        while True:
            rows, cols = max(1, round(side / yres)), max(1, round(side / xres))
            across, down = math.ceil(grid.width / cols), math.ceil(grid.height / rows)
            if across * down <= MOST_BLOCKS:
                return cls(math.sqrt(rows * yres * cols * xres), rows, cols, across, across * down)
            side = max(1.1 * side, 1.1 * max(xres, yres))

    def numbers(self, first: int, known: BoolArray) -> Counts:
        """Block of each `known` pixel (rows, columns) of the strip that begins at row `first`."""
        rows, cols = np.nonzero(known)
        numbers: Counts = (rows + first) // self.rows * self.across + cols // self.cols
        return numbers


@dataclass
class Counted:
    """Tallies by partition and source; pixels with data in the reference, in it and each source, and in all."""

    blocks: Blocks
    tallies: dict[tuple[str, str], Tally]
    reference: int = 0
    known: dict[str, int] = field(default_factory=dict)

    @property
    def used(self) -> BoolArray:
        """Blocks that hold compared pixels."""
        used: BoolArray = next(iter(self.tallies.values())).pixels[0] > 0
        return used

    @property
    def pixels(self) -> int:
        """Compared pixels."""
        return int(next(iter(self.tallies.values())).pixels.sum())


def count(layers: Layers, grid: Grid, *, block: float, progress: Progress) -> Counted:
    """Compare all sources with the reference, strip by strip. Raises ReadFailed."""
    blocks = Blocks.of(grid, block)
    tallies = {(OVERALL, name): Tally(1, blocks.count, by_block=True) for name in layers.sources}
    for partition in (PARTITIONS[name] for name in ("slope", *layers.guides)):
        for name in layers.sources:
            tallies[partition.name, name] = Tally(len(partition.classes), blocks.count)
    counted = Counted(blocks, tallies, known=dict.fromkeys(layers.sources, 0))
    step = min(MOST_ROWS, max(FEWEST_ROWS, STRIP_PIXELS // grid.width))
    for row in range(0, grid.height, step):
        _count_strip(counted, layers, grid, row, min(step, grid.height - row))
        progress(min(1.0, (row + step) / grid.height))
    return counted


def _count_strip(counted: Counted, layers: Layers, grid: Grid, row: int, height: int) -> None:
    # A pixel more on every side, for the slopes.
    wide = row - 1, -1, height + 2, grid.width + 2
    ground = layers.reference.read(*wide)[0]
    heights = {name: layers.read(name, *wide) for name in layers.sources}
    inner = (slice(1, -1), slice(1, -1))
    real = ~np.isnan(ground[inner])
    counted.reference += int(real.sum())
    both = real.copy()
    for name, values in heights.items():
        here = real & ~np.isnan(values[inner])
        counted.known[name] += int(here.sum())
        both &= here
    if not both.any():
        return
    numbers, steep = counted.blocks.numbers(row, both), slope(ground, grid.resolution)[both]
    classes = {OVERALL: np.zeros(len(numbers), dtype=np.int64), "slope": PARTITIONS["slope"].numbers(steep)}
    for kind, layer in layers.guides.items():
        classes[kind] = PARTITIONS[kind].numbers(layer.read(row, 0, height, grid.width)[0][both])
    # Slopes are compared where all sources have one.
    slopes = {name: slope(values, grid.resolution)[both] - steep for name, values in heights.items()}
    unknown = np.logical_or.reduce([np.isnan(values) for values in slopes.values()])
    for name, values in heights.items():
        errors: FloatArray = values[inner][both].astype(np.float64) - ground[inner][both]
        for kind, numbers_of_kind in classes.items():
            apart = np.where(unknown, np.nan, slopes[name])
            counted.tallies[kind, name].add(errors, apart, classes=numbers_of_kind, blocks=numbers)
