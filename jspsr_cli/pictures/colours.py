"""Colours of planes that are looked at."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from jspsr_cli.types import FloatArray

#: a picture: uint8 (rows, columns, 3 or 4)
Colours = NDArray[Any]

# Colours of differences end at this percentile of their size, so that one wild pixel does not bleach the rest.
DIFFERENCE_PERCENTILE = 98.0

# Metres at which they end at the least, so that rounding does not look like terrain.
SMALLEST_DIFFERENCE = 0.1


def coloured(name: str, values: NDArray[Any]) -> Colours:
    """Shares of a colour map of matplotlib, or whole numbers of its colours; NaN is transparent."""
    colours: Colours = colormaps[name](values, bytes=True)
    return colours


def coloured_difference(metres: FloatArray) -> tuple[Colours, float]:
    """A difference in metres (rows, columns), red above and blue below zero, and the metres at which colours end."""
    known = np.abs(metres[np.isfinite(metres)])
    end = max(float(np.percentile(known, DIFFERENCE_PERCENTILE)) if known.size else 0.0, SMALLEST_DIFFERENCE)
    return coloured("RdBu_r", metres / end / 2 + 0.5), end
