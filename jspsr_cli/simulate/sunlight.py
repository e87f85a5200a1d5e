"""Sun and sky over a scene: slopes towards the sun, and shadows that trees and buildings cast."""

from dataclasses import dataclass

import numpy as np

from jspsr_cli.simulate.fields import Chance, between, between_log, shifted
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.types import BoolArray, FloatArray

# Degrees above the horizon. Photographs are taken around noon, but also in winter.
LOWEST, HIGHEST = 18.0, 68.0

# Shadows are followed for 2 ** DOUBLINGS pixels: 170 m at 8 m, beyond the margin of a scene.
DOUBLINGS = 6

# A shadow is full so many metres below its upper edge: the edge of a crown or a roof is within a pixel.
PENUMBRA = 1.0

# Steeper faces are not seen from above.
STEEPEST = 1.5


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: `east` and `south` of a unit vector towards it, and the tangent of its height.

    `sky` (3,) is the light of the sky beside 1 of the sun on level ground, red first.
    """

    east: float
    south: float
    tangent: float
    sky: FloatArray


def sun(chance: Chance) -> Sun:
    """Draw a sun, in any direction: samples are turned in training anyway."""
    azimuth, height = between(chance, 0, 2 * np.pi), np.radians(between(chance, LOWEST, HIGHEST))
    # Under thin clouds there is nearly as much light from the sky as from the sun.
    strength = between_log(chance, 0.12, 0.5) if chance.random() < 0.93 else between(chance, 0.8, 3)
    blue = between(chance, 0, 0.35)
    sky = np.array([1 - blue, 1, 1 + blue], dtype=np.float32) * np.float32(strength)
    return Sun(float(np.sin(azimuth)), -float(np.cos(azimuth)), float(np.tan(height)), sky)


def shade(surface: FloatArray, light: Sun, *, metres: float) -> FloatArray:
    """Shares of the sun that are missing (side, side), 0 to 1, below a `surface` in metres on pixels of `metres`.

    The upper edge of all shadows is found in steps that double: that of twice as many pixels is the higher of what is
    known of the near half, and of the same as seen from its end.
    """
    longest = max(abs(light.east), abs(light.south))
    down, right = light.south / longest, light.east / longest
    fall = metres * np.hypot(down, right) * light.tangent
    upper = surface
    for step in 2 ** np.arange(DOUBLINGS):
        rows, cols = shifted(round(step * down), len(surface)), shifted(round(step * right), len(surface))
        higher = upper.copy()
        farther = upper[rows[1], cols[1]] - np.float32(step * fall)
        np.maximum(upper[rows[0], cols[0]], farther, out=higher[rows[0], cols[0]])
        upper = higher
    missing: FloatArray = np.minimum((upper - surface) * np.float32(1 / PENUMBRA), 1)
    return missing


def sunlight(scene: Scene, light: Sun, *, thin: BoolArray | None, part: slice) -> FloatArray:
    """Light of the sun on the `part` of rows and columns of a scene, 1 on level ground.

    Where the canopy is `thin` half of the light goes through it.
    """
    surface = scene.surface
    missing = shade(surface, light, metres=scene.metres)[part, part]
    if thin is not None:
        solid = scene.terrain + np.where(thin, scene.built, scene.above)
        missing = (missing + shade(solid, light, metres=scene.metres)[part, part]) / 2
    wide = slice(part.start - 1, part.stop + 1)
    ground, above = _rise(scene.terrain[wide, wide], light), _rise(scene.above[wide, wide], light)
    standing = scene.above[part, part] > 0
    rise = (ground + np.where(standing, above, 0)) * np.float32(1 / (2 * scene.metres))
    rise = np.clip(rise, -STEEPEST, STEEPEST)
    facing = 1 - rise * np.float32(1 / light.tangent)
    lit: FloatArray = np.maximum(facing, 0) / np.sqrt(1 + rise * rise) * (1 - missing)
    return lit


def _rise(heights: FloatArray, light: Sun) -> FloatArray:
    """How much heights rise towards the sun over two pixels, of all but the outermost pixels."""
    rise: FloatArray = (heights[1:-1, 2:] - heights[1:-1, :-2]) * np.float32(light.east)
    rise += (heights[2:, 1:-1] - heights[:-2, 1:-1]) * np.float32(light.south)
    return rise
