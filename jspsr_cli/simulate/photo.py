"""An orthophoto of a scene.

season -> colours of ground, trees and roofs -> texture -> sun and shadows -> camera -> the sample's pixels
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jspsr_cli.simulate import cover
from jspsr_cli.simulate.camera import averages, developed, leaning
from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import Chance, averaged, between, between_log, enlarged
from jspsr_cli.simulate.lattice import Lattice, lattice
from jspsr_cli.simulate.palette import (
    BROADLEAVES,
    BUSHES,
    CONIFERS,
    LARGE_ROOFS,
    ROOFS,
    SHADES,
    SMALL_ROOFS,
    Palette,
    palette,
)
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.simulate.sunlight import sun, sunlight
from jspsr_cli.simulate.texture import texture
from jspsr_cli.types import BoolArray, FloatArray

# Metres by which a photo lies off at most, and pixels around the sample that this takes.
OFF, SPARE = 2.0, 2

# Metres: lower plants are ground, and lower boxes are too where a surface model has them.
LEAST_TREE, LEAST_ROOF = 0.4, 2.0

# Square metres from which a roof is a large one.
LARGE = 900.0

# Ground whose shades are in patches, not in parcels.
IN_PATCHES = np.isin(
    np.arange(len(cover.COVERS)),
    [cover.BROADLEAF, cover.CONIFER, cover.CLEARING, cover.SCRUB, cover.BARE, cover.SAND, cover.WETLAND, cover.WATER,
     cover.GARDEN, cover.YARD, cover.PAVED, cover.PARK, cover.QUARRY],
)  # fmt: skip

# Metres of what lies along the edge of a field, and what that may be: grass, weeds, a track.
STRIP, STRIPS = (0.0, 3.5), (cover.PASTURE, cover.MEADOW, cover.SCRUB, cover.YARD)

# Where the cover is not known: what fields may be, and the share of roofs around from which ground is in a town.
FIELDS = (cover.PASTURE, cover.MEADOW, cover.CROP, cover.TILLED, cover.SCRUB, cover.BARE)
TOWN, AROUND = (0.04, 0.12), 60.0


def photo(scene: Scene, chance: Chance) -> NDArray[np.uint8]:
    """An RGB orthophoto on the sample's grid, uint8 (3, rows, columns)."""
    part = slice(scene.margin - SPARE, len(scene.terrain) - scene.margin + SPARE)
    look = palette(chance)
    parcels = scene.parcels or _parcels(scene, chance)
    covers = (scene.cover if scene.cover is not None else _guess(scene, parcels, chance))[part, part]
    wood = _wood(scene, covers, part, chance)
    surfaces = _surfaces(scene, covers, wood, parcels, part, chance)
    grain = _grain(surfaces, look, parcels, part, scene.metres, chance)
    light = sun(chance)
    thin = _thin(scene, wood, part) if look.bare else None
    lit = sunlight(scene, light, thin=thin, part=part)
    seen = leaning(scene.above[part, part], chance, metres=scene.metres)
    surfaces, grain, lit = surfaces.ravel()[seen], grain.ravel()[seen], lit.ravel()[seen]
    planes = np.empty((3, *surfaces.shape), dtype=np.float32)
    for plane, colours, sky in zip(planes, look.colours, light.sky, strict=True):
        np.multiply(colours[surfaces], lit + sky, out=plane)
        plane *= grain
        np.sqrt(plane, out=plane)
    off = (between(chance, -OFF, OFF) / scene.metres, between(chance, -OFF, OFF) / scene.metres)
    return developed(averages(planes, factor=scene.factor, spare=SPARE, off=off), chance)


def _parcels(scene: Scene, chance: Chance) -> Lattice:
    """Fields for ground of which none are known."""
    size = between_log(chance, 50, 300)
    widths, lengths = (size * 0.6, size * 1.3), (size * 0.8, size * 2.4)
    draft = Draft(len(scene.terrain), scene.metres)
    return lattice(draft, chance, widths=widths, lengths=lengths, bent=size * 0.35)


def _guess(scene: Scene, parcels: Lattice, chance: Chance) -> NDArray[np.uint8]:
    """A cover that would fit to what stands on the ground: gardens and streets between roofs, else fields."""
    weights = chance.dirichlet(np.full(len(FIELDS), 0.7))
    fields = chance.choice(np.array(FIELDS, dtype=np.uint8), parcels.count, p=weights)
    side = len(scene.terrain)
    step = scene.factor
    roofs = ndimage.uniform_filter(averaged(scene.built > LEAST_ROOF, step), round(AROUND / step / scene.metres))
    dense = enlarged(roofs, side) + np.float32(0.03) * texture("patches", side, scene.metres, chance)
    town = between(chance, *TOWN)
    ground = np.where(dense > town, cover.GARDEN, fields[parcels.cell])
    paved = texture("patches", side, scene.metres, chance) < between(chance, -1, 0.5)
    return np.where((dense > town) & paved | (dense > 3 * town), cover.YARD, ground).astype(np.uint8)


def _wood(scene: Scene, covers: NDArray[np.uint8], part: slice, chance: Chance) -> NDArray[np.uint8]:
    """Kinds of trees (see `palette`) on the part, 0 where the ground or a roof is seen."""
    canopy = scene.canopy[part, part]
    kinds = np.full(len(cover.COVERS), BROADLEAVES, dtype=np.uint8)
    kinds[cover.CONIFER] = CONIFERS
    kinds[[cover.SCRUB, cover.VINEYARD, cover.CLEARING, cover.BARE, cover.SAND, cover.WETLAND]] = BUSHES
    wood = kinds[covers]
    if scene.cover is None:  # woods of both kinds, or of one
        conifers = texture("broad", len(wood), scene.metres, chance) > chance.normal(0.5, 1)
        wood = np.where(conifers, np.uint8(CONIFERS), np.uint8(BROADLEAVES))
    return np.where((canopy > LEAST_TREE) & (canopy > scene.built[part, part]), wood, 0).astype(np.uint8)


def _thin(scene: Scene, wood: NDArray[np.uint8], part: slice) -> BoolArray:
    """Where on the whole scene trees are without leaves; around the sample all are, if any."""
    thin = np.ones(scene.canopy.shape, dtype=bool)
    thin[part, part] = wood != CONIFERS
    return thin


def _surfaces(
    scene: Scene,
    covers: NDArray[np.uint8],
    wood: NDArray[np.uint8],
    parcels: Lattice,
    part: slice,
    chance: Chance,
) -> NDArray[np.intp]:
    """Rows of the palette by pixel."""
    side, metres = len(covers), scene.metres
    by_parcel = chance.integers(0, SHADES, parcels.count).astype(np.uint8)[parcels.cell[part, part]]
    mixed = texture("patches", side, metres, chance) + texture("broad", side, metres, chance)
    by_patch = (mixed * np.float32(between(chance, 0.8, 2.5)) + np.float32(64)).astype(np.uint8) % SHADES
    fields = ~IN_PATCHES[covers]
    found = covers * np.intp(SHADES) + np.where(fields, by_parcel, by_patch)
    strip = fields & (parcels.edge[part, part] < between(chance, *STRIP))
    found[strip] = STRIPS[int(chance.integers(len(STRIPS)))] * SHADES + by_patch[strip]
    # Trees of one kind stand together, or each is of its own.
    own = np.float32(between(chance, 0, 1.5))
    species = texture("crowns", side, metres, chance) * own + texture("broad", side, metres, chance)
    by_tree = (species * np.float32(between(chance, 0.8, 2)) + np.float32(64)).astype(np.uint8) % SHADES
    found = np.where(wood > 0, wood * np.intp(SHADES) + by_tree, found)
    roofs = scene.built[part, part] > LEAST_ROOF
    if not roofs.any():
        return found
    houses, count = ndimage.label(roofs)
    large = np.bincount(houses.ravel()) * metres**2 > LARGE
    kinds = np.where(large, LARGE_ROOFS, SMALL_ROOFS) * SHADES + chance.integers(0, ROOFS * SHADES, count + 1)
    return np.where(roofs & (wood == 0), kinds[houses], found)


def _grain(
    surfaces: NDArray[np.intp], look: Palette, parcels: Lattice, part: slice, metres: float, chance: Chance
) -> FloatArray:
    """Factors of the brightness: speckles, patches, and rows of crops."""
    side = len(surfaces)
    values = texture("speckle", side, metres, chance) * look.speckle[surfaces]
    patches = texture("patches", side, metres, chance) * np.float32(between_log(chance, 0.02, 0.15))
    values += patches + texture("broad", side, metres, chance) * np.float32(between_log(chance, 0.02, 0.2))
    strength = look.stripes[surfaces]
    if strength.any():
        way = np.where(look.crosswise[surfaces], parcels.u[part, part], parcels.v[part, part])
        phase = way * np.float32(1 / between_log(chance, 4, 30))
        values += strength * (np.abs(phase - np.floor(phase) - np.float32(0.5)) * 4 - 1)
    result: FloatArray = np.maximum(1 + values, np.float32(0.05))
    return result
