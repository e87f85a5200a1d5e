"""One scene, all of it known: the story of how it comes to be.

kind of country -> ground -> rivers, roads, quarries -> woods, fields, towns -> buildings -> trees
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from jspsr_cli.raster.grid import Grid
from jspsr_cli.simulate.buildings import build
from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.features import FEATURES, add_feature
from jspsr_cli.simulate.fields import Chance, averaged, between, between_log, stream
from jspsr_cli.simulate.lattice import Lattice
from jspsr_cli.simulate.layout import lay_out
from jspsr_cli.simulate.recipes import RECIPES, Recipe
from jspsr_cli.simulate.terrain import ground
from jspsr_cli.simulate.trees import grow
from jspsr_cli.types import BoolArray, FloatArray

# Metres around a sample that its DEM is made of too: two pixels of COP30 (62 m) for the bicubic kernel, and the blur.
MARGIN = 80.0

# About the metres of fine pixels, of which a house or a crown has several. Finer ones would show no more in averages
# over 8 m, and cost more than training on the fly has time for.
FINE = 2.7

# Metres of what stands on the ground, in the mean of a pixel, from which it is covered, and up to which it is open.
COVERED, OPEN = 2.0, 0.3

# Scenes lie in one UTM zone, at the latitudes where people live: the pixels of COP30 change their width on the way.
ZONE, WEST, EAST, SOUTH, NORTH = "EPSG:32631", 0.1, 5.9, 0.5, 70.0

# What is drawn of a scene, each from random numbers of its own, so that more draws of one do not change another.
PLACE, GROUND, LAND, HOUSES, TREES, RADAR, CANOPY_MAP, PHOTO = range(8)


@dataclass(frozen=True, eq=False)
class Scene:
    """The land, on fine square pixels of `metres` that reach `margin` of them beyond a sample's `grid`.

    All layers are (side, side) with north up: `terrain` in metres; `canopy` and `built` the heights of trees and of
    buildings above it; `cover` as in `cover.COVERS`, or None where that is unknown; `water` where it is level water.
    `kind` names the recipe, `parcels` are the fields where those are known.
    """

    kind: str
    grid: Grid
    metres: float
    margin: int
    terrain: FloatArray
    canopy: FloatArray
    built: FloatArray
    cover: NDArray[np.uint8] | None
    water: BoolArray
    parcels: Lattice | None = None

    @property
    def above(self) -> FloatArray:
        """Height of what stands on the ground in metres."""
        result: FloatArray = np.maximum(self.canopy, self.built)
        return result

    @property
    def surface(self) -> FloatArray:
        """The surface model in metres: terrain and what stands on it."""
        return self.terrain + self.above

    @property
    def factor(self) -> int:
        """Fine pixels along a pixel of the sample."""
        return round(self.grid.resolution[0] / self.metres)

    def inside(self, values: NDArray[Any]) -> NDArray[Any]:
        """What of fine pixels lies in the sample."""
        return values[self.margin : len(values) - self.margin, self.margin : len(values) - self.margin]


def grounds(scene: Scene) -> dict[str, BoolArray]:
    """Which pixels of the sample are open ground, under trees and under houses; those in between are none of these."""
    above, built = (averaged(scene.inside(values), scene.factor) for values in (scene.above, scene.built))
    covered, houses = above > COVERED, built > above / 2
    return {"open": above < OPEN, "trees": covered & ~houses, "houses": covered & houses}


def fine_pixels(resolution: float, size: int) -> tuple[float, int, int]:
    """Metres of fine pixels (2.7 at 8 m, 1.5 at 3 m), how many there are a side, and how many of those are margin."""
    factor = max(2, round(resolution / FINE))
    margin = math.ceil(MARGIN / resolution) * factor
    return resolution / factor, size * factor + 2 * margin, margin


def simulate_scene(seed: int, number: int, *, resolution: float, size: int) -> Scene:
    """Scene `number` of `seed` for a sample of `size` pixels of `resolution` metres: always the same."""
    metres, side, margin = fine_pixels(resolution, size)
    chance = {part: stream(seed, number, part) for part in (PLACE, GROUND, LAND, HOUSES, TREES)}
    grid = _place(chance[PLACE], resolution, size)
    weights = np.array([recipe.weight for recipe in RECIPES])
    recipe = RECIPES[int(chance[PLACE].choice(len(RECIPES), p=weights / weights.sum()))]
    draft = Draft(side, metres)
    _shape(draft, recipe, chance[GROUND])
    land = lay_out(draft, recipe, chance[LAND])
    built = build(draft, land, chance[HOUSES])
    canopy = grow(draft, land, built, chance[TREES])
    layers = (draft.heights, canopy, built, land.cover, draft.water)
    return Scene(recipe.name, grid, metres, margin, *layers, parcels=land.rows)


def _place(chance: Chance, resolution: float, size: int) -> Grid:
    """A square somewhere in the zone, its edges on whole multiples of the resolution."""
    lon, lat = between(chance, WEST, EAST), between(chance, SOUTH, NORTH)
    x, y = (round(value / resolution) * resolution for value in _to_zone().transform(lon, lat))
    return Grid(zone(), Affine(resolution, 0, x, 0, -resolution, y), size, size)


@lru_cache(maxsize=1)
def zone() -> CRS:
    """The UTM zone that scenes lie in."""
    return CRS.from_string(ZONE)


@lru_cache(maxsize=1)
def _to_zone() -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("EPSG:4326", ZONE, always_xy=True)


def _shape(draft: Draft, recipe: Recipe, chance: Chance) -> None:
    """The ground, and what rivers and people made of it."""
    kinds = list(recipe.ground)
    weights = np.array(list(recipe.ground.values()), dtype=np.float64)
    kind = kinds[int(chance.choice(len(kinds), p=weights / weights.sum()))]
    relief = between_log(chance, *recipe.relief)
    draft.heights = ground(chance, kind, side=draft.side, extent=draft.extent, relief=relief)
    for name in FEATURES:
        if chance.random() < recipe.features.get(name, 0):
            add_feature(draft, name, chance)
