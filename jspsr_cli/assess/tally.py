"""What is kept of the errors of one source while strips go by: exact sums and bins, by class and by block."""

import math

import numpy as np

from jspsr_cli.assess.bins import (
    BINS,
    COARSE,
    COARSE_BINS,
    ERRORS,
    LE90_SHARE,
    Counts,
    around,
    bin_of,
    percentile,
)
from jspsr_cli.assess.evaluated import PERCENTILES, Figures
from jspsr_cli.assess.metrics import LE_SHARE, NMAD_FACTOR
from jspsr_cli.types import FloatArray


class Tally:
    """Errors of a source in metres, in `classes` classes and `blocks` blocks of ground.

    `pixels` (classes, blocks) counts them; `sums` (3, classes, blocks) are those of the errors, of their absolute
    values and squares, in double precision; `bins` (classes, bins) their distribution. Where `by_block` is asked
    for, `coarse` (blocks, coarse bins) is the distribution of all classes together in each block.
    """

    def __init__(self, classes: int, blocks: int, *, by_block: bool = False) -> None:
        self.pixels = np.zeros((classes, blocks), dtype=np.int64)
        self.sums = np.zeros((3, classes, blocks))
        self.bins = np.zeros((classes, BINS), dtype=np.int64)
        self.coarse = np.zeros((blocks, COARSE_BINS), dtype=np.uint32) if by_block else None
        self._slopes = np.zeros((2, classes))

    def add(self, errors: FloatArray, slopes: FloatArray, *, classes: Counts, blocks: Counts) -> None:
        """Count pixels (all arguments are of one dimension); a class below 0 is none.

        `errors` in metres, `slopes` the errors of slope in degrees, NaN where the slope is not known.
        """
        used = classes >= 0
        errors, slopes, classes, blocks = errors[used].astype(np.float64), slopes[used], classes[used], blocks[used]
        cells = classes * self.pixels.shape[1] + blocks
        shape, size = self.pixels.shape, self.pixels.size
        self.pixels += np.bincount(cells, minlength=size).reshape(shape)
        for total, values in zip(self.sums, (errors, np.abs(errors), np.square(errors)), strict=True):
            total += np.bincount(cells, values, minlength=size).reshape(shape)
        numbers = bin_of(errors)
        self.bins += np.bincount(classes * BINS + numbers, minlength=self.bins.size).reshape(self.bins.shape)
        if self.coarse is not None:
            first, count = int(blocks.min(initial=len(self.coarse))), int(blocks.max(initial=-1)) + 1
            if first < count:  # the blocks of a strip are few
                places = (blocks - first) * COARSE_BINS + numbers // COARSE
                found = np.bincount(places, minlength=(count - first) * COARSE_BINS)
                self.coarse[first:count] += found.reshape(-1, COARSE_BINS).astype(np.uint32)
        known = ~np.isnan(slopes)
        for total, values in zip(self._slopes, (np.ones(known.sum()), np.square(slopes[known])), strict=True):
            total += np.bincount(classes[known], values, minlength=len(total))

    def figures(self, number: int) -> Figures:
        """All figures of a class, which has at least one pixel."""
        pixels = int(self.pixels[number].sum())
        total, absolute, squares = (float(sums[number].sum()) for sums in self.sums)
        bins, (slopes, slope_squares) = self.bins[number], self._slopes[:, number]
        median = percentile(ERRORS, bins, 0.5)
        return Figures(
            rmse=math.sqrt(squares / pixels),
            mae=absolute / pixels,
            mean=total / pixels,
            median=median,
            nmad=NMAD_FACTOR * around(bins, median, 0.5),
            le90=around(bins, 0.0, LE90_SHARE),
            le95=around(bins, 0.0, LE_SHARE),
            slope_rmse=math.sqrt(slope_squares / slopes) if slopes else None,
            percentiles={f"p{share}": percentile(ERRORS, bins, share / 100) for share in PERCENTILES},
        )
