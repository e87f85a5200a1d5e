"""What a radar mission would see of a scene: COP30, and FABDEM, which was made of it.

The steps are those of `spec/data.md` of the project: canopy lowered to the phase centre, low-pass, sampling to the
arc-second lattice of the latitude, correlated height error, bias of the tile, level water. From there the heights go to
the sample's grid by the code that `enhance` aligns with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj
from affine import Affine
from rasterio.enums import Resampling
from scipy import ndimage

from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.grid import WGS84
from jspsr_cli.raster.warp import SourceBlock
from jspsr_cli.simulate.fields import Chance, averaged, between, enlarged, noise, standardised
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.types import BoolArray, FloatArray

# Columns of GLO-30 per degree from each latitude on: https://spacedata.copernicus.eu, product handbook.
COLUMNS = ((0, 3600), (50, 2400), (60, 1800), (70, 1200), (80, 720), (85, 360))
ROWS = 3600

# What elevation models there are.
MODELS = ("COP30", "FABDEM")

# Share of the canopy's height at which X-band is reflected.
PHASE_CENTRE = (0.5, 0.9)

# Width in metres at half height of the low-pass, and the pixels that it is done on.
BLUR, BLUR_PIXEL = 12.0, 4.0

# Height error in metres on level ground, the range over which it is alike, and the bias of a whole tile.
ERROR, CORRELATED, BIAS = (0.3, 1.2), (30.0, 60.0), 1.5

# Water of fewer pixels was not edited.
LEAST_WATER = 9

# Pixels of COP30 around a sample that the bicubic kernel may reach.
KERNEL = 4


@dataclass(frozen=True)
class Lattice:
    """Pixels of COP30 around a sample: their georeference, and where in the fine pixels of the scene each lies."""

    transform: Affine
    rows: FloatArray
    cols: FloatArray

    @classmethod
    def around(cls, scene: Scene) -> "Lattice":
        """All pixels that the sample's need."""
        west, south, east, north = scene.grid.bounds
        to_map = _transformer(scene.grid.crs.to_wkt())
        xs, ys = np.meshgrid(np.linspace(west, east, 3), np.linspace(south, north, 3))
        lons, lats = to_map.transform(xs, ys, direction="INVERSE")
        lons = lons[1, 1] + (lons - lons[1, 1] + TURN / 2) % TURN - TURN / 2
        columns = next(count for start, count in reversed(COLUMNS) if abs(lats.mean()) >= start)
        first_col, last_col = math.floor(lons.min() * columns) - KERNEL, math.ceil(lons.max() * columns) + KERNEL
        first_row, last_row = math.floor(-lats.max() * ROWS) - KERNEL, math.ceil(-lats.min() * ROWS) + KERNEL
        # Whole multiples of the step are middles of pixels: the origin is half a pixel beyond.
        transform = Affine(1 / columns, 0, (first_col - 0.5) / columns, 0, -1 / ROWS, -(first_row - 0.5) / ROWS)
        lon, lat = np.meshgrid(np.arange(first_col, last_col + 1) / columns, np.arange(first_row, last_row + 1) / -ROWS)
        x, y = to_map.transform(lon, lat)
        cols = (x - west) / scene.metres + scene.margin - 0.5
        rows = (north - y) / scene.metres + scene.margin - 0.5
        return cls(transform, rows, cols)

    def sample(self, values: FloatArray, *, factor: int = 1) -> FloatArray:
        """Values of fine pixels, or of their means over `factor`, at the lattice (rows, columns)."""
        places = [(self.rows + 0.5) / factor - 0.5, (self.cols + 0.5) / factor - 0.5]
        found: FloatArray = ndimage.map_coordinates(values, places, order=1, mode="nearest")
        return found


@lru_cache(maxsize=8)
def _transformer(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def elevation_models(
    scene: Scene, chance: Chance, *, names: Sequence[str] = MODELS, biased: bool = True
) -> dict[str, FloatArray]:
    """COP30 and FABDEM (`names`) of a scene on its sample's grid, float32 (1, rows, columns) in metres.

    Without `biased`, the tile has no bias.
    """
    pixels, transform = native_models(scene, chance, names=names, biased=biased)
    aligned = SourceBlock(pixels, WGS84, transform, "the simulated DEM").warp(scene.grid, Resampling.cubic)
    return {name: aligned[band : band + 1] for band, name in enumerate(names)}


def native_models(
    scene: Scene, chance: Chance, *, names: Sequence[str] = MODELS, biased: bool = True
) -> tuple[FloatArray, Affine]:
    """`elevation_models` as they are published: float32 (names, rows, columns) in metres, in arc seconds."""
    lattice = Lattice.around(scene)
    factor = max(1, round(BLUR_PIXEL / scene.metres))
    seen = _blurred(scene.terrain + np.maximum(scene.canopy * _phase_centre(scene, chance), scene.built), factor, scene)
    heights = lattice.sample(seen, factor=factor)
    steep = np.hypot(*np.gradient(heights, 30.0))
    error = _correlated(chance, heights.shape) * between(chance, *ERROR) * (1 + steep)
    cop30 = heights + error
    bias = between(chance, -BIAS, BIAS) * biased
    models = {"COP30": cop30}
    if "FABDEM" in names:
        stands = heights - lattice.sample(_blurred(scene.terrain, factor, scene), factor=factor)
        models["FABDEM"] = _corrected(cop30, stands, chance)
    pixels = np.stack([models[name] for name in names]) + bias
    for label in _water_bodies(scene, lattice, factor):
        level = float(np.median(lattice.sample(scene.terrain)[label]))
        pixels[:, label] = level + bias
    return pixels.astype(np.float32), lattice.transform


def _phase_centre(scene: Scene, chance: Chance) -> FloatArray:
    """Share of the canopy's height, which varies with the kind and the density of the wood."""
    low, high = PHASE_CENTRE
    usual = between(chance, low + 0.05, high - 0.05)
    vary = noise(chance, 74, extent=74, longest=20, shortest=5) * np.float32(0.06)
    result: FloatArray = enlarged(np.clip(usual + vary, low, high), len(scene.terrain))
    return result


def _blurred(values: FloatArray, factor: int, scene: Scene) -> FloatArray:
    step = factor * scene.metres
    # Averaging over the step, and the linear interpolation between steps, are a part of the blur.
    width = math.sqrt(max((BLUR / 2.355) ** 2 - step**2 / 12 - step**2 / 6, 0)) / step
    blurred: FloatArray = ndimage.gaussian_filter(averaged(values, factor), width, mode="nearest", truncate=3)
    return blurred


def _correlated(chance: Chance, shape: tuple[int, ...]) -> FloatArray:
    """Noise of unit variance, alike over 30 to 60 m, which is one to two pixels."""
    width = between(chance, *CORRELATED) / 30 / 2
    return standardised(ndimage.gaussian_filter(chance.standard_normal(shape), width))


def _corrected(cop30: FloatArray, stands: FloatArray, chance: Chance) -> FloatArray:
    """COP30 with part of what stands on the ground taken off, and smoothed, as FABDEM is."""
    guess = ndimage.gaussian_filter(stands, between(chance, 0.4, 0.9)) * between(chance, 0.6, 1.05)
    guess *= 1 + 0.25 * _correlated(chance, stands.shape)
    taken = np.where(guess > between(chance, 0.5, 1.5), np.maximum(guess, 0), 0)
    smooth: FloatArray = ndimage.gaussian_filter(cop30 - taken, between(chance, 0.4, 0.7))
    return smooth


def _water_bodies(scene: Scene, lattice: Lattice, factor: int) -> list[BoolArray]:
    """Pixels of COP30 that are mostly water, by body, the small ones left out."""
    if not scene.water.any():
        return []
    share = lattice.sample(averaged(scene.water, factor), factor=factor)
    bodies, count = ndimage.label(share > 0.5)
    return [bodies == i for i in range(1, count + 1) if (bodies == i).sum() >= LEAST_WATER]
