"""Colours of what there is to see from above, by season: of ground, trees and roofs.

They vary more than in any one country; `benchmarks/photos.py` shows that real photos lie within.
"""

from dataclasses import dataclass

import numpy as np

from jspsr_cli.simulate import cover
from jspsr_cli.simulate.fields import Chance, between, between_log
from jspsr_cli.types import BoolArray, FloatArray

Colour = tuple[int, int, int]

# Shades of each kind of surface in one photo, a power of two.
SHADES = 8

# Of these, roofs have so many times more.
ROOFS = 2

# Colours in full sun, as a screen shows them.
GRASS: tuple[Colour, ...] = ((98, 120, 66), (122, 138, 84), (84, 104, 58), (110, 118, 78))
HAY: tuple[Colour, ...] = ((158, 142, 102), (176, 158, 118), (146, 124, 84), (128, 116, 82), (152, 124, 100))
SOIL: tuple[Colour, ...] = (
    (152, 126, 104), (116, 92, 74), (94, 80, 68), (178, 158, 134), (156, 108, 82), (142, 134, 122), (134, 104, 90),
)  # fmt: skip
LITTER: tuple[Colour, ...] = ((112, 98, 72), (128, 112, 84), (92, 92, 60))
STONE: tuple[Colour, ...] = ((156, 150, 140), (136, 128, 118), (172, 164, 150), (124, 120, 116))
TARMAC: tuple[Colour, ...] = ((128, 126, 124), (146, 143, 138), (168, 164, 156), (108, 108, 110), (178, 168, 150))
GREEN_CROP: tuple[Colour, ...] = ((82, 112, 58), (102, 130, 70), (66, 96, 54), (128, 138, 86), (174, 168, 74))
RIPE: tuple[Colour, ...] = ((196, 178, 126), (184, 164, 124), (170, 148, 108), (158, 142, 104), (112, 116, 70))
WATERS: tuple[Colour, ...] = (
    (48, 70, 72), (58, 80, 66), (84, 92, 74), (112, 104, 82), (40, 58, 76), (36, 46, 48), (60, 96, 88),
)  # fmt: skip

# By cover: in a wet and in a dry season.
GROUND: dict[int, tuple[tuple[Colour, ...], tuple[Colour, ...]]] = {
    cover.PASTURE: (GRASS, HAY),
    cover.MEADOW: (GRASS + GREEN_CROP[1:2], HAY),
    cover.CROP: (GREEN_CROP, RIPE),
    cover.TILLED: (SOIL, SOIL),
    cover.VINEYARD: (GRASS + SOIL[:2], SOIL),
    cover.ORCHARD: (GRASS, HAY + SOIL[:1]),
    cover.BROADLEAF: (GRASS[:3] + LITTER, LITTER),
    cover.CONIFER: (GRASS[2:3] + LITTER, LITTER),
    cover.CLEARING: (GRASS + LITTER, HAY + LITTER),
    cover.SCRUB: (GRASS + LITTER, HAY + LITTER),
    cover.BARE: (STONE + SOIL[3:4] + GRASS[3:], STONE + SOIL[:1] + HAY[3:]),
    cover.SAND: (((214, 200, 168), (198, 180, 146)), ((226, 212, 182), (190, 172, 138))),
    cover.WETLAND: (((96, 104, 68), (78, 92, 66), (118, 114, 84)), ((136, 122, 90), (110, 104, 76))),
    cover.WATER: (WATERS, WATERS),
    cover.GARDEN: (GRASS + GRASS + TARMAC[:3] + SOIL[:1], HAY + GRASS + TARMAC[:3] + SOIL[:1]),
    cover.YARD: (TARMAC + STONE, TARMAC + STONE + HAY[:1]),
    cover.PAVED: (TARMAC, TARMAC),
    cover.PARK: (GRASS, GRASS + HAY),
    cover.QUARRY: (STONE + SOIL[3:4] + SOIL[:1], STONE + SOIL[3:4]),
}

LEAVES: tuple[Colour, ...] = ((66, 86, 52), (78, 98, 58), (58, 76, 52), (92, 106, 66))
AUTUMN: tuple[Colour, ...] = ((144, 118, 58), (150, 98, 56), (116, 94, 58), (108, 106, 58))
BRANCHES: tuple[Colour, ...] = ((122, 110, 98), (106, 98, 86), (96, 92, 74), (128, 120, 104))
NEEDLES: tuple[Colour, ...] = ((50, 66, 52), (60, 76, 54), (44, 60, 50))
SHRUBS: tuple[Colour, ...] = ((92, 102, 66), (108, 108, 76), (76, 90, 58))

TILES: tuple[Colour, ...] = ((178, 112, 88), (154, 94, 76), (124, 92, 80), (190, 138, 112))
SLATES: tuple[Colour, ...] = ((92, 94, 102), (112, 112, 114), (82, 80, 80), (132, 130, 128))
FLAT: tuple[Colour, ...] = (
    (224, 222, 216), (194, 196, 198), (164, 160, 152), (142, 142, 142), (78, 78, 80), (126, 138, 150), (150, 118, 104),
)  # fmt: skip

SNOW = (236, 240, 246)

# How far the shades of a cover lie apart, where not as far as those of fields.
ALIKE = {cover.PAVED: 0.3, cover.WATER: 0.08, cover.SAND: 0.4, cover.WETLAND: 0.6}

# Texture from pixel to pixel and over some metres, in shares of the brightness, where other than usual.
SPECKLED = {cover.GARDEN: 0.3, cover.YARD: 0.22, cover.PAVED: 0.12, cover.QUARRY: 0.15, cover.SCRUB: 0.18,
            cover.WATER: 0.03, cover.BARE: 0.15, cover.CLEARING: 0.15}  # fmt: skip
USUAL_SPECKLE, TREE_SPECKLE, ROOF_SPECKLE = 0.06, 0.25, 0.1

# What is worked in rows.
IN_ROWS = (cover.CROP, cover.TILLED, cover.VINEYARD, cover.ORCHARD, cover.MEADOW)

# Kinds of trees by their place after the covers, then roofs: those of houses, and of what is larger.
BROADLEAVES, CONIFERS, BUSHES = (len(cover.COVERS) + i for i in range(3))
SMALL_ROOFS = len(cover.COVERS) + 3
LARGE_ROOFS = SMALL_ROOFS + ROOFS


@dataclass(frozen=True)
class Palette:
    """The surfaces of one photo: kind k has the rows k x `SHADES` and on.

    `colours` (3, rows) are shares of the light that they reflect; `speckle` and `stripes` (rows,) are amplitudes of
    their texture, `crosswise` says which way their rows run. Leafless broadleaf trees are `bare`.
    """

    colours: FloatArray
    speckle: FloatArray
    stripes: FloatArray
    crosswise: BoolArray
    bare: bool


def palette(chance: Chance) -> Palette:
    """Draw the season, and what the surfaces of a photo look like in it."""
    dry, season = float(chance.beta(0.7, 0.7)), chance.random()
    bare, autumn = season < 0.14, 0.14 <= season < 0.26
    kinds = [GROUND[number] for number in range(len(cover.COVERS))]
    leaves = BRANCHES + LITTER[:1] if bare else AUTUMN + LEAVES if autumn else LEAVES
    kinds += [(leaves, leaves), (NEEDLES, NEEDLES + LEAVES[2:3]), (SHRUBS, SHRUBS + LITTER[:1])]
    fashion = chance.random()
    small = TILES + SLATES[:1] if fashion < 0.4 else SLATES + FLAT[:3] if fashion < 0.7 else TILES + SLATES + FLAT
    kinds += [(small, small)] * ROOFS + [(FLAT, FLAT + TILES[:1])] * ROOFS
    apart = np.array([ALIKE.get(number, 1.0) for number in range(len(kinds))])
    apart[BROADLEAVES : BUSHES + 1] = between(chance, 0.3, 1)
    colours = np.stack([_shades(chance, *kind, dry=dry, apart=a) for kind, a in zip(kinds, apart, strict=True)])
    # The earth of a country is redder or greyer than that of another, and so is what dries on it.
    colours[: cover.WATER] *= np.exp(float(chance.normal(0, 0.2)) * np.array([1, -0.1, -0.8]))
    colours[cover.TILLED] *= between_log(chance, 0.5, 1.1)  # wet or dry
    # Trees of a country are of a green of its own, and darker or brighter beside its fields than elsewhere.
    colours[BROADLEAVES : BUSHES + 1] *= np.exp(chance.normal(0, (0.1, 0.06, 0.1))) * between_log(chance, 0.65, 1.6)
    if chance.random() < 0.12:  # sun on water
        colours[cover.WATER] += between_log(chance, 0.05, 0.5)
    if chance.random() < 0.02:
        _cover_with_snow(colours, between(chance, 0.6, 1))
    speckle = np.array([SPECKLED.get(number, USUAL_SPECKLE) for number in range(len(kinds))])
    speckle[BROADLEAVES:], speckle[SMALL_ROOFS:] = TREE_SPECKLE, ROOF_SPECKLE
    speckle *= between_log(chance, 0.2, 1.4)
    stripes = np.zeros((len(kinds), SHADES))
    worked = chance.random((len(IN_ROWS), SHADES))
    stripes[list(IN_ROWS)] = np.where(worked < 0.6, between(chance, 0.02, 0.25) * worked, 0)
    return Palette(
        np.ascontiguousarray(colours.reshape(-1, 3).T, dtype=np.float32),
        np.repeat(speckle, SHADES).astype(np.float32),
        stripes.ravel().astype(np.float32),
        chance.random(stripes.size) < 0.4,
        bool(bare),
    )


def _shades(
    chance: Chance, wet: tuple[Colour, ...], parched: tuple[Colour, ...], *, dry: float, apart: float
) -> FloatArray:
    """Reflected shares (SHADES, 3) of one kind of surface, each between two of its colours."""
    ends = []
    for known in (wet, parched):
        usual, first, second = chance.integers(0, len(known), (3, SHADES))
        share = chance.random((SHADES, 1)) * apart
        base, other = (np.array(known, dtype=np.float64)[i] for i in (first, second))
        if apart < 1:
            base = np.array(known, dtype=np.float64)[usual[0]]
        ends.append(base + share * (other - base))
    drought = np.clip(dry + chance.normal(0, 0.3, (SHADES, 1)) * apart, 0, 1)
    mixed = (ends[0] + drought * (ends[1] - ends[0])) / 255
    usual_tone = np.exp(chance.normal(0, 0.1) + chance.normal(0, 0.03, 3))
    tone = np.exp(apart * (chance.normal(0, 0.18, (SHADES, 1)) + chance.normal(0, 0.03, (SHADES, 3))))
    shades: FloatArray = mixed**2 * usual_tone * tone
    return shades


def _cover_with_snow(colours: FloatArray, depth: float) -> None:
    """Snow on all but water, little on streets and trees."""
    thick = np.full((len(colours), 1, 1), depth)
    thick[cover.WATER], thick[cover.PAVED] = 0, depth / 3
    thick[BROADLEAVES : BUSHES + 1] = depth / 5
    colours += thick * ((np.array(SNOW) / 255) ** 2 - colours)
