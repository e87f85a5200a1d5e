"""Shared aliases, each with an example value."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: west, south, east, north: (-118.05, 33.95, -117.95, 34.05)
Bounds = tuple[float, float, float, float]

#: heights, colours, classes: (rows, columns) or (bands, rows, columns)
FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]

#: what the output has where the DEM exists and a guide does not
GuideGaps = Literal["nodata", "dem"]

#: what the output has where the input is exactly constant (flattened) water
Water = Literal["keep", "network"]

#: arithmetic of the network's body; heights are float32 in all of them
Precision = Literal["auto", "float32", "bfloat16", "float16"]

#: called with the share of the output that is done, 0 to 1
Progress = Callable[[float], None]
