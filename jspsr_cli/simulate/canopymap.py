"""Canopy maps of a scene: right, wrong as global ones are, shifted, or empty."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jspsr_cli.scaling import CANOPY_MAX
from jspsr_cli.simulate.fields import Chance, averaged, between, enlarged, noise
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.types import FloatArray

#: exact: of all that stands on the ground; trees: exact, without buildings; global: with the errors of the global map,
#: without buildings; shifted: exact, some pixels off; empty: nothing
CanopyKind = Literal["exact", "trees", "global", "shifted", "empty"]
CANOPY_KINDS: tuple[CanopyKind, ...] = get_args(CanopyKind)

# How often each is drawn: half of the maps are right, so that a network learns what they can do.
CANOPY_SHARES: dict[CanopyKind, float] = {"exact": 0.35, "trees": 0.15, "global": 0.4, "shifted": 0.06, "empty": 0.04}

# Error of the global map in metres at a correlation length of the given range, so that with all that is missing and
# smoothed its mean absolute error over trees is 2.8 m (Tolan et al. 2024).
GLOBAL_ERROR, GLOBAL_CORRELATED = 2.1, (20.0, 60.0)

# Above this the map falls short of the tallest trees, by this share of what is more.
SATURATED, SHORTFALL = 22.0, 0.45

# Share of woods that the map misses, and metres by which it blurs and lies off.
MISSED, BLUR, OFF = (0.0, 0.12), (3.0, 9.0), 5.0

# Metres by which the shifted map lies off.
SHIFT = (8.0, 30.0)


def canopy_map(scene: Scene, chance: Chance, *, kind: CanopyKind | None = None) -> NDArray[np.uint8]:
    """A canopy map on the sample's grid, uint8 (1, rows, columns), whole metres to 68; its `kind` is drawn if None."""
    if kind is None:
        names = list(CANOPY_SHARES)
        kind = names[int(chance.choice(len(names), p=list(CANOPY_SHARES.values())))]
    means = averaged(scene.inside(_heights(scene, chance, kind)), scene.factor)
    return np.clip(np.round(means), 0, CANOPY_MAX).astype(np.uint8)[None]


def _heights(scene: Scene, chance: Chance, kind: CanopyKind) -> FloatArray:
    if kind == "global":
        return _as_global(scene, chance)
    if kind == "shifted":
        return _moved(scene.above, scene, between(chance, *SHIFT), chance)
    return {"exact": scene.above, "trees": scene.canopy, "empty": np.zeros_like(scene.canopy)}[kind]


def _moved(heights: FloatArray, scene: Scene, metres: float, chance: Chance) -> FloatArray:
    angle = between(chance, 0, 2 * np.pi)
    steps = [round(metres * way / scene.metres) for way in (np.sin(angle), np.cos(angle))]
    return np.roll(heights, steps, axis=(0, 1))


def _as_global(scene: Scene, chance: Chance) -> FloatArray:
    """Canopy as a global map has it, on fine pixels."""
    step = max(1, round(4 / scene.metres))
    moved = _moved(scene.canopy, scene, abs(float(chance.normal(0, OFF))), chance)
    coarse = averaged(moved, step)
    side, extent = len(coarse), len(scene.canopy) * scene.metres
    smooth = ndimage.gaussian_filter(coarse, between(chance, *BLUR) / (step * scene.metres), truncate=3)
    low = np.where(smooth > SATURATED, SATURATED + (smooth - SATURATED) * (1 - SHORTFALL), smooth)
    length = between(chance, *GLOBAL_CORRELATED)
    shape = noise(chance, side, extent=extent, longest=4 * length, shortest=12, roughness=2)
    usual, size = between(chance, -0.5, 0.5), np.float32(GLOBAL_ERROR * between(chance, 0.6, 1.4))
    wrong = low * (1 + 0.1 * usual) + (shape + usual) * size * np.minimum(low / 4, 1)
    missed = noise(chance, side, extent=extent, longest=300, shortest=60)
    known = missed > np.quantile(missed[::4, ::4], between(chance, *MISSED))
    wrong = np.where(known & (wrong > between(chance, 0.5, 2.5)), wrong, 0)
    return enlarged(wrong, len(scene.canopy))
