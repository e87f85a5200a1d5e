"""Heights and guides to the network's range and back.

Source of the formulas: the published training configuration of JSPSR (Cai & Wilson, Remote Sensing 2025, 17(21),
3591).
"""

import math
from dataclasses import dataclass

import numpy as np

from jspsr_cli.raster.landuse import CLASS_COUNT
from jspsr_cli.types import FloatArray

# The weights' base is the lowest height of a 1 km x 1 km sample, also where the network sees a part of it only.
BASE_METRES = 1000.0

# The highest canopy in the training data; higher is clipped, and counted by the caller.
CANOPY_MAX = 68.0

# The network sees imagery as 8 bit.
IMAGE_MAX = 255.0

# Class i of the one-hot stack is worth (i + 1) / 16.
CLASS_STEP = 1 / 16


@dataclass(frozen=True)
class HeightScale:
    """The logarithmic scale s = ln(z - base - low) / ln(high - low) of heights z in metres.

    `low` and `high` are relative to the base: -80 and 929 for the 8 m weights, -80 and 933 for the 3 m ones.
    """

    low: float
    high: float

    def scale(self, heights: FloatArray, base: float) -> FloatArray:
        """Float32 network range of `heights`: 1 at `high` metres above the base."""
        # In double precision: near 1 a float32 step of the logarithm's argument is already 0.1 mm of height.
        argument = heights.astype(np.float64) - (base + self.low)
        scaled: FloatArray = (np.log(argument) / math.log(self.high - self.low)).astype(np.float32)
        return scaled

    @property
    def forward(self) -> str:
        """`scale` as an expression of Python with the functions of numpy, of heights `z` and their `base`."""
        return f"log(z - base - ({self.low!r})) / log({self.high!r} - ({self.low!r}))"

    @property
    def inverse(self) -> str:
        """`unscale` of what the network returned, `s`, as such an expression."""
        return f"exp(s * log({self.high!r} - ({self.low!r}))) + base + ({self.low!r})"

    def unscale(self, scaled: FloatArray, base: float) -> FloatArray:
        """Heights in metres (float64) of what the network returned."""
        heights: FloatArray = np.exp(scaled.astype(np.float64) * math.log(self.high - self.low)) + (base + self.low)
        return heights


def scale_image(image: FloatArray) -> FloatArray:
    """0..255 to 0..1."""
    return image / np.float32(IMAGE_MAX)


def scale_canopy(canopy: FloatArray) -> FloatArray:
    """Metres to 0..1; above `CANOPY_MAX` is 1."""
    scaled: FloatArray = np.clip(canopy, 0, CANOPY_MAX) / np.float32(CANOPY_MAX)
    return scaled


def scale_classes(classes: FloatArray) -> FloatArray:
    """Classes (1, rows, columns) to the one-hot stack (15, rows, columns), class i worth (i + 1) / 16."""
    numbers = np.arange(CLASS_COUNT, dtype=np.float32)[:, None, None]
    result: FloatArray = (classes == numbers) * ((numbers + 1) * np.float32(CLASS_STEP))
    return result
