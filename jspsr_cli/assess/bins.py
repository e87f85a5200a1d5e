"""Errors counted in narrow bins: medians and percentiles of any number of pixels, in memory that does not grow.

A bin is 1 mm wide at an error of 0, and ever wider beyond: 1.4 mm at 10 m, 0.01 % of an error that is much larger. So a
median or a percentile is right to half of that, and the bins reach as far as heights do.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.assess.metrics import LE_SHARE, NMAD_FACTOR
from jspsr_cli.types import FloatArray

# Width in metres of the bin at 0, and the error in metres from which the bins widen.
STEP, WIDENING = 0.001, 10.0

# Heights lie between -1000 and 9000 m: no error is larger. What a shift adds to it is counted in the last bin.
LARGEST_ERROR = 10_000.0

# Bins on either side of the middle one.
SIDE = math.ceil(math.asinh(LARGEST_ERROR / WIDENING) * WIDENING / STEP)
BINS = 2 * SIDE + 1

# Bins that are one in the distribution of a block, 5 cm at an error of 0: one of each block has to fit into memory.
COARSE = 50
COARSE_BINS = -(-BINS // COARSE)

# Halvings of 10 km that leave less than a tenth of a millimetre.
HALVINGS = 28

LE90_SHARE = 0.90

Counts = NDArray[np.integer[Any]]


def bin_of(errors: FloatArray) -> Counts:
    """Number of the bin of each error (metres)."""
    number = np.rint(np.arcsinh(errors / WIDENING) * (WIDENING / STEP)).astype(np.int64)
    bins: Counts = np.clip(number, -SIDE, SIDE) + SIDE
    return bins


def error_of(number: FloatArray | Counts) -> FloatArray:
    """Error in metres of the middle of a bin; between two of them for numbers that are not whole."""
    errors: FloatArray = np.sinh((number - SIDE) * (STEP / WIDENING)) * WIDENING
    return errors


#: error in metres of each bin, and of the edges of the coarse ones
ERRORS = error_of(np.arange(BINS))
COARSE_EDGES = error_of(np.arange(COARSE_BINS + 1) * COARSE - 0.5)


def percentile(errors: FloatArray, counts: Counts, share: float) -> float:
    """The value below which `share` of all lies, interpolated between two as numpy does; `errors` in rising order."""
    reached = np.cumsum(counts)
    place = (int(reached[-1]) - 1) * share
    low, high = errors[np.searchsorted(reached, [math.floor(place), math.ceil(place)], side="right")]
    return float(low + (high - low) * (place - math.floor(place)))


def around(counts: Counts, centre: float, share: float) -> float:
    """The distance from `centre` (metres) within which `share` of the errors counted in all bins lies."""
    used = np.flatnonzero(counts)
    distance = np.abs(ERRORS[used] - centre)
    order = np.argsort(distance)
    return percentile(distance[order], counts[used][order], share)


def coarse_measures(counts: FloatArray | Counts) -> dict[str, float]:
    """Median, NMAD, LE90 and LE95 in metres of errors counted in the coarse bins, evenly spread within each.

    For intervals: good to a fraction of 5 cm for small errors.
    """
    reached = np.insert(np.cumsum(counts, dtype=np.float64), 0, 0.0) / counts.sum(dtype=np.float64)
    first = max(0, int(np.searchsorted(reached, 0, side="right")) - 1)
    stop = int(np.searchsorted(reached, 1 - 1e-12)) + 1
    edges, reached = COARSE_EDGES[first : stop + 1], reached[first : stop + 1]
    median = float(np.interp(0.5, reached, edges))
    widths = _within(edges, reached, [median, 0.0, 0.0], [0.5, LE90_SHARE, LE_SHARE])
    return {"median": median, "nmad": NMAD_FACTOR * widths[0], "le90": widths[1], "le95": widths[2]}


def _within(edges: FloatArray, reached: FloatArray, centres: list[float], shares: list[float]) -> list[float]:
    """Distances from `centres` within which `shares` lie, found by halving."""
    centre, share = np.array(centres), np.array(shares)
    low, high = np.zeros(len(centre)), np.full(len(centre), LARGEST_ERROR)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = np.interp(centre + middle, edges, reached) - np.interp(centre - middle, edges, reached) >= share
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    widths: list[float] = high.tolist()
    return widths
