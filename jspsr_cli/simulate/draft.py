"""A scene in the making: what all steps add to, and the lines that they follow."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.simulate.cover import NONE
from jspsr_cli.simulate.fields import Chance, between, between_log, enlarged
from jspsr_cli.types import BoolArray, FloatArray

# Metres between the points at which a profile along a line is taken.
PROFILE_STEP = 4.0

# Cells a side that areas with a smooth rim are drawn on.
COARSE = 148


@lru_cache(maxsize=4)
def positions(side: int, metres: float) -> tuple[FloatArray, FloatArray]:
    """Metres east and south of the middle of each pixel (side, side), float32; not to be changed."""
    along = ((np.arange(side) - (side - 1) / 2) * metres).astype(np.float32)
    x = np.ascontiguousarray(np.broadcast_to(along, (side, side)))
    y = np.ascontiguousarray(np.broadcast_to(along[:, None], (side, side)))
    x.flags.writeable = y.flags.writeable = False
    return x, y


@dataclass
class Draft:
    """Fine pixels (side, side) of `metres`, changed in place by the steps that make a scene.

    `heights` is the terrain in metres, `water` where it is water, `built` the height of structures above it, and
    `forced` the cover (`cover.py`) that the shape of the ground decides, NONE elsewhere.
    """

    side: int
    metres: float
    heights: FloatArray = field(init=False)
    water: BoolArray = field(init=False)
    built: FloatArray = field(init=False)
    forced: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.side, self.side)
        self.heights = np.zeros(shape, dtype=np.float32)
        self.water = np.zeros(shape, dtype=bool)
        self.built = np.zeros(shape, dtype=np.float32)
        self.forced = np.full(shape, NONE, dtype=np.uint8)

    @property
    def extent(self) -> float:
        """Metres a side."""
        return self.side * self.metres

    @property
    def positions(self) -> tuple[FloatArray, FloatArray]:
        """See `positions`."""
        return positions(self.side, self.metres)

    def line(self, chance: Chance, *, bend: float, near: float = 0.35) -> "Line":
        """A line that winds across; `bend` is how much, `near` how far from the middle in shares of the side."""
        x, y = self.positions
        angle = between(chance, 0, 2 * np.pi)
        u = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        v = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
        v -= np.float32(between(chance, -near, near) * self.extent)
        turn = np.zeros_like(u)
        for shortest, longest in ((500, 1500), (150, 500)):
            wave = 2 * np.pi / between_log(chance, shortest, longest)
            # A wave of this height is nowhere steeper than `bend`.
            height, phase = bend * between(chance, 0.3, 1.0) / wave / 1.5, between(chance, 0, 2 * np.pi)
            argument = u * np.float32(wave) + np.float32(phase)
            v -= np.float32(height) * np.sin(argument)
            turn += np.float32(height * wave) * np.cos(argument)
        return Line(u, v / np.sqrt(1 + turn * turn))

    def blob(self, chance: Chance, *, radius: float) -> FloatArray:
        """Metres outside (or, below 0, inside) of a rounded, irregular area somewhere in the scene."""
        x, y = positions(COARSE, self.extent / COARSE)
        reach = 0.45 * self.extent
        angle, stretch = between(chance, 0, np.pi), between_log(chance, 1, 2.2)
        dx, dy = x - np.float32(between(chance, -reach, reach)), y - np.float32(between(chance, -reach, reach))
        u = (dx * np.float32(np.cos(angle)) + dy * np.float32(np.sin(angle))) / np.float32(stretch**0.5)
        v = (dy * np.float32(np.cos(angle)) - dx * np.float32(np.sin(angle))) * np.float32(stretch**0.5)
        away = np.sqrt(u * u + v * v) + np.float32(1e-3)
        # Lobes: the cosines of two, three and five times the direction.
        c, s = u / away, v / away
        c2, s2 = c * c - s * s, 2 * c * s
        c3, s3 = c * c2 - s * s2, s * c2 + c * s2
        c5, s5 = c2 * c3 - s2 * s3, s2 * c3 + c2 * s3
        lobes = chance.uniform(-1, 1, 6).astype(np.float32)
        rim = lobes[0] * c2 + lobes[1] * s2 + lobes[2] * c3 + lobes[3] * s3 + (lobes[4] * c5 + lobes[5] * s5) / 2
        return enlarged(away - np.float32(radius) * (1 + np.float32(0.18) * rim), self.side)


@dataclass(frozen=True)
class Line:
    """Of each pixel: metres `along` a line, and `across` it, below 0 on its left."""

    along: FloatArray
    across: FloatArray

    @property
    def distance(self) -> FloatArray:
        """Metres from the line."""
        result: FloatArray = np.abs(self.across)
        return result

    def profile(self, values: FloatArray, *, width: float) -> tuple[FloatArray, FloatArray]:
        """Means of `values` within `width` metres of the line, and where along it they are."""
        near = self.distance < width
        bins = ((self.along[near] - self.along.min()) / PROFILE_STEP).astype(np.intp)
        counts = np.bincount(bins)
        means = np.bincount(bins, weights=values[near]) / np.maximum(counts, 1)
        known = np.flatnonzero(counts)
        places = (np.arange(len(counts)) + 0.5) * PROFILE_STEP + float(self.along.min())
        return np.interp(np.arange(len(counts)), known, means[known]), places
