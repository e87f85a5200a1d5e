"""Kinds of ground that errors are told apart by: slope, land use, canopy height."""

from dataclasses import dataclass

import numpy as np

from jspsr_cli.assess.bins import Counts
from jspsr_cli.raster.landuse import CLASS_NAMES
from jspsr_cli.types import FloatArray

# Degrees: level, gentle, hilly, steep ground, and what is hardly ever built on or flooded.
SLOPE_EDGES = (2.0, 5.0, 10.0, 20.0, 30.0)

# Metres: grass and crops, shrubs, young, grown and tall trees.
CANOPY_EDGES = (2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Partition:
    """A way to tell ground apart: what it goes by, for people, and the names of its classes."""

    name: str
    title: str
    classes: tuple[str, ...]

    def numbers(self, values: FloatArray) -> Counts:
        """Class of each value, -1 for NaN: of slopes (degrees), canopy heights (metres) or land use classes."""
        known = ~np.isnan(values)
        numbers = np.full(values.shape, -1, dtype=np.int64)
        edges = {"slope": SLOPE_EDGES, "canopy": CANOPY_EDGES}.get(self.name)
        numbers[known] = values[known] if edges is None else np.digitize(values[known], edges)
        return numbers


def _between(edges: tuple[float, ...], unit: str) -> tuple[str, ...]:
    inner = [f"{low:g} to {high:g} {unit}" for low, high in zip((0.0, *edges), edges, strict=False)]
    return (*inner, f"{edges[-1]:g} {unit} and more")


PARTITIONS = {
    "slope": Partition("slope", "slope of the reference", _between(SLOPE_EDGES, "degrees")),
    "classes": Partition("classes", "land use", CLASS_NAMES),
    "canopy": Partition("canopy", "canopy height", _between(CANOPY_EDGES, "m")),
}


def slope(heights: FloatArray, resolution: tuple[float, float]) -> FloatArray:
    """Slope in degrees of heights in metres, whose pixels have these sides in metres: a pixel less on every side.

    NaN where one of the eight neighbours is.

    Source: Horn, Proceedings of the IEEE 1981, 69(1), 14-47.
    """
    z = heights.astype(np.float64)
    rows, cols = z[:-2] + 2 * z[1:-1] + z[2:], z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    east = (rows[:, 2:] - rows[:, :-2]) / (8 * resolution[0])
    south = (cols[2:] - cols[:-2]) / (8 * resolution[1])
    degrees: FloatArray = np.degrees(np.arctan(np.hypot(east, south)))
    return degrees
