"""Windows on one lattice that is anchored at the origin of the CRS, and their weights."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jspsr_cli.errors import InvalidOption
from jspsr_cli.limits import LARGEST_WINDOW, SMALLEST_WINDOW, WINDOW_STEP
from jspsr_cli.types import FloatArray

# The network pads with zeros, and its propagation step samples beyond the edge: its border is unreliable.
BORDER = 6

# A taper over fewer pixels than this would be a step again.
MIN_TAPER = 4

# Two borders, and a taper between them.
MIN_OVERLAP = 2 * BORDER + MIN_TAPER


def smooth_rise(pixels: int) -> FloatArray:
    """Weights that rise from 0 to 1 without a kink over so many pixels; turned round they are what is left to 1."""
    ramp = (np.arange(pixels) + 0.5) / max(1, pixels)
    rise: FloatArray = ramp * ramp * (3 - 2 * ramp)
    return rise


@dataclass(frozen=True)
class Lattice:
    """Square windows of `size` pixels, each `overlap` pixels over its neighbours; window k starts at k * stride.

    Positions are counted from the origin of the CRS (`Grid.origin`), the same along rows and columns.

    Raises:
        InvalidOption: the window is no multiple of 8, or the overlap leaves no room for the taper.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.size % WINDOW_STEP or not SMALLEST_WINDOW <= self.size <= LARGEST_WINDOW:
            raise InvalidOption(
                f"A window of {self.size} pixels cannot work: take a multiple of {WINDOW_STEP} from {SMALLEST_WINDOW} "
                f"to {LARGEST_WINDOW}."
            )
        if not MIN_OVERLAP <= self.overlap < self.size:
            raise InvalidOption(
                f"Windows of {self.size} pixels that overlap by {self.overlap} cannot be blended: choose an overlap of "
                f"at most {1 - WINDOW_STEP / self.size:.3f}."
            )

    @classmethod
    def of_share(cls, size: int, share: float) -> "Lattice":
        """Windows that overlap by `share` of their size, rounded up to a multiple of 8 pixels, at least `MIN_OVERLAP`.

        So windows start where the coarsest level of the network has a pixel, the same for all of them.

        Raises:
            InvalidOption: see the class.
        """
        if not 0 <= share < 1:
            raise InvalidOption(f"An overlap of {share:g} is not a share from 0 up to, not including, 1.")
        return cls(size, max(MIN_OVERLAP, math.ceil(share * size / WINDOW_STEP) * WINDOW_STEP))

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        return self.size - self.overlap

    def starts(self, first: int, stop: int) -> range:
        """Starts of all windows that have weight on pixels `first` to `stop`, not including the last."""
        low = (first - (self.size - BORDER)) // self.stride + 1
        high = -((BORDER - stop) // self.stride) - 1
        return range(low * self.stride, high * self.stride + 1, self.stride)

    @cached_property
    def weights(self) -> FloatArray:
        """Weights along one side (float64): 0 on the border, then a smooth rise; over all windows they sum to 1."""
        # A taper longer than half of the rest would have no top.
        taper = min(self.overlap - 2 * BORDER, self.size // 2 - BORDER)
        rise = smooth_rise(taper)
        raw = np.zeros(self.size)
        raw[BORDER : self.size - BORDER] = 1
        raw[BORDER : BORDER + taper] = rise
        raw[self.size - BORDER - taper : self.size - BORDER] = rise[::-1]
        padded = np.zeros(math.ceil(self.size / self.stride) * self.stride)
        padded[: self.size] = raw
        total = padded.reshape(-1, self.stride).sum(axis=0)
        weights: FloatArray = raw / total[np.arange(self.size) % self.stride]
        return weights
