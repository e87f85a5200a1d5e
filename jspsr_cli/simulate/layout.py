"""What covers which ground: woods, fields with their hedges, towns with their streets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.simulate.cover import (
    BROADLEAF,
    CLEARING,
    CONIFER,
    CROP,
    GARDEN,
    MEADOW,
    NONE,
    ORCHARD,
    PARK,
    PASTURE,
    PAVED,
    SCRUB,
    TILLED,
    VINEYARD,
    YARD,
)
from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import Chance, between, between_log, enlarged, noise
from jspsr_cli.simulate.lattice import THINNED, Lattice, lattice
from jspsr_cli.simulate.recipes import HOUSES, Recipe
from jspsr_cli.types import BoolArray, FloatArray

# Steeper fields are not tilled: a slope of 20 %.
TILLABLE = 0.2

# Kinds of block with yards around their houses, and with none; the others have gardens.
YARDS, EMPTY = ("sheds", "low"), ("none",)

# Standard deviation in metres of ground that is made even for a shed.
MOST_UNEVEN = 2.5

# Less of a scene than this is no town.
LEAST_TOWN = 0.01


@dataclass(frozen=True)
class Town:
    """Where (`urban`) which `blocks` are, and by block the number of its kind in `recipes.HOUSES`."""

    blocks: Lattice
    urban: BoolArray
    houses: NDArray[np.uint8]


@dataclass(frozen=True)
class Land:
    """Of each pixel (side, side): its `cover`, and the height in metres that trees there reach.

    `stand` is where they stand close (0 elsewhere), `single` where they stand alone; `rows` are the parcels.
    """

    cover: NDArray[np.uint8]
    stand: FloatArray
    single: FloatArray
    rows: Lattice
    town: Town | None


def lay_out(draft: Draft, recipe: Recipe, chance: Chance) -> Land:
    """Cover the ground of `draft`; rivers, roads and quarries keep what they have."""
    down, right = np.gradient(draft.heights[::THINNED, ::THINNED], THINNED * draft.metres)
    steep = np.repeat(np.repeat(np.hypot(down, right), THINNED, axis=0), THINNED, axis=1)
    steep = steep[: draft.side, : draft.side]
    size = between_log(chance, *recipe.parcels)
    rows = lattice(draft, chance, widths=(size * 0.6, size * 1.3), lengths=(size * 0.8, size * 2.4), bent=size * 0.35)
    cover, stand, single = _fields(draft, recipe, chance, rows, steep)
    _woods(draft, recipe, chance, steep, cover, stand)
    _hedges(recipe, chance, rows, cover, stand, draft)
    town = _town(draft, recipe, chance, steep, cover=cover, stand=stand, single=single)
    forced = draft.forced != NONE
    cover[forced] = draft.forced[forced]
    stand[forced], single[forced] = 0, 0
    return Land(cover, stand, single, rows, replace(town, urban=town.urban & ~forced) if town else None)


def choice(chance: Chance, weights: Mapping[int, float], count: int) -> NDArray[np.uint8]:
    """`count` keys of `weights`, drawn by them."""
    values = np.array(list(weights.values()), dtype=np.float64)
    return chance.choice(np.array(list(weights), dtype=np.uint8), count, p=values / values.sum())


def _fields(
    draft: Draft, recipe: Recipe, chance: Chance, rows: Lattice, steep: FloatArray
) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
    """Cover, height of closed stands and of single trees, by parcel."""
    # No two scenes of a kind have the same mix.
    mix = {cover: weight * between_log(chance, 0.3, 3) for cover, weight in recipe.fields.items()}
    covers = choice(chance, mix, rows.count)
    slope = rows.means(steep)
    ploughed = np.isin(covers, (CROP, TILLED, PARK)) & (slope > TILLABLE)
    covers[ploughed] = chance.choice(np.array([PASTURE, MEADOW, SCRUB], dtype=np.uint8), int(ploughed.sum()))
    inclined = 2 * slope + chance.uniform(0, 0.5, rows.count)
    wooded = _noise(draft, chance, longest=600, shortest=120)
    score = rows.means(wooded) + inclined
    share = between(chance, *recipe.forest)
    forest = rows.present & (score >= np.quantile(score[rows.present], 1 - share)) & (share > 0)
    kinds = np.where(chance.random(rows.count) < between(chance, *recipe.conifer), CONIFER, BROADLEAF)
    covers[forest] = kinds[forest]
    covers[forest & (chance.random(rows.count) < 0.05)] = CLEARING
    usual = between(chance, *recipe.stands)
    age = np.clip(usual * chance.lognormal(0, 0.3, rows.count), 2, 45)
    heights = np.zeros(rows.count)
    heights[np.isin(covers, (BROADLEAF, CONIFER))] = age[np.isin(covers, (BROADLEAF, CONIFER))]
    for kind, low, high in ((SCRUB, 1, 7), (ORCHARD, 2.5, 7), (VINEYARD, 1.2, 2.2), (CLEARING, 0.3, 2)):
        heights[covers == kind] = chance.uniform(low, high, int((covers == kind).sum()))
    trees = np.where(np.isin(covers, (PASTURE, MEADOW, PARK)), chance.uniform(3, 22, rows.count), 0)
    rare = {PARK: between(chance, 0.2, 1.0), PASTURE: between(chance, 0, 0.6), MEADOW: 0.2}
    kept = np.select([covers == kind for kind in rare], list(rare.values()), 0) > chance.random(rows.count)
    look = rows.cell
    return covers[look], heights.astype(np.float32)[look], (trees * kept).astype(np.float32)[look]


def _noise(draft: Draft, chance: Chance, *, longest: float, shortest: float) -> FloatArray:
    return enlarged(noise(chance, 74, extent=draft.extent, longest=longest, shortest=shortest), draft.side)


def _woods(
    draft: Draft, recipe: Recipe, chance: Chance, steep: FloatArray, cover: NDArray[np.uint8], stand: FloatArray
) -> None:
    """Woods that no parcel bounds: on steep ground and where nobody cleared them; and trees along water."""
    share = between(chance, *recipe.forest)
    wild = _noise(draft, chance, longest=400, shortest=40) + 3 * np.minimum(steep, 0.6)
    where = wild > np.quantile(wild[::8, ::8], 1 - 0.4 * share - 0.01)
    if draft.water.any() and chance.random() < 0.7:
        wet = draft.heights - np.float32(draft.heights[draft.water].min()) < between(chance, 0.5, 4)
        where |= wet & (wild > between(chance, -0.5, 1.2))
    where &= (cover != BROADLEAF) & (cover != CONIFER)
    cover[where] = CONIFER if chance.random() < np.mean(recipe.conifer) / 2 else BROADLEAF
    stand[where] = np.float32(between(chance, *recipe.stands) * between(chance, 0.6, 1.0))


def _hedges(
    recipe: Recipe, chance: Chance, rows: Lattice, cover: NDArray[np.uint8], stand: FloatArray, draft: Draft
) -> None:
    """Hedges along some parcels, on a bank here and there."""
    share = between(chance, *recipe.hedges)
    height = np.where(chance.random(rows.count) < share, chance.uniform(1.5, 10, rows.count), 0).astype(np.float32)
    width = chance.uniform(1.5, 5, rows.count).astype(np.float32)
    bank = np.where(chance.random(rows.count) < 0.3, chance.uniform(-0.5, 1.5, rows.count), 0).astype(np.float32)
    near = (rows.edge < 6) & (cover != BROADLEAF) & (cover != CONIFER) & ~draft.water
    cells, edge = rows.cell[near], rows.edge[near]
    hedge = edge < width[cells]
    stand[near] = np.where(hedge, height[cells], stand[near])
    cover[near] = np.where(hedge & (height[cells] > 0), BROADLEAF, cover[near])
    draft.heights[near] += bank[cells] * np.clip(1 - edge / 4, 0, 1)


def _town(
    draft: Draft,
    recipe: Recipe,
    chance: Chance,
    steep: FloatArray,
    *,
    cover: NDArray[np.uint8],
    stand: FloatArray,
    single: FloatArray,
) -> Town | None:
    """Blocks and streets; the grounds of some are made even."""
    share = between(chance, *recipe.town)
    if share < LEAST_TOWN:
        return None
    width = between(chance, 45, 110)
    blocks = lattice(
        draft, chance, widths=(width * 0.8, width * 1.4), lengths=(width, width * 3), bent=between_log(chance, 2, 60)
    )
    outside = draft.blob(chance, radius=draft.extent * 0.3) / np.float32(draft.extent)
    score = blocks.means(outside + _noise(draft, chance, longest=500, shortest=150) * np.float32(0.1) + steep / 2)
    built = blocks.present & (score <= np.quantile(score[blocks.present], share))
    mix = {list(HOUSES).index(kind): weight * between_log(chance, 0.3, 3) for kind, weight in recipe.blocks.items()}
    houses = choice(chance, mix, blocks.count)
    urban = built[blocks.cell] & ~draft.water
    paved, empty = (np.isin(houses, [list(HOUSES).index(kind) for kind in kinds]) for kinds in (YARDS, EMPTY))
    _level(draft, blocks, built & (paved | (chance.random(blocks.count) < 0.15)), chance)
    ground = np.where(paved, YARD, np.where(empty, PARK, GARDEN)).astype(np.uint8)
    street = blocks.edge < between(chance, 3, 8)
    cover[urban] = np.where(street, PAVED, ground[blocks.cell])[urban]
    stand[urban] = 0
    height = chance.uniform(*recipe.gardens, blocks.count) * np.where(paved, 0.7, 1)
    height = np.where(chance.random(blocks.count) < np.where(paved, 0.3, 0.9), height, 0).astype(np.float32)
    shadow = _noise(draft, chance, longest=200, shortest=40)
    shade = shadow > np.quantile(shadow[::8, ::8], 1 - between(chance, *recipe.shade))
    single[urban] = (height[blocks.cell] * (shade & ~street))[urban]
    return Town(blocks, urban, houses)


def _level(draft: Draft, blocks: Lattice, which: BoolArray, chance: Chance) -> None:
    """Make the grounds of some blocks even, with banks to those beside; nobody moves a cliff."""
    middle = blocks.means(draft.heights)
    uneven = blocks.means(draft.heights.astype(np.float64) ** 2) - middle**2
    inside = (which & (uneven < MOST_UNEVEN**2))[blocks.cell] & ~draft.water
    share = np.float32(between(chance, 0.5, 1)) * np.clip(blocks.edge[inside] / 8, 0, 1)
    draft.heights[inside] += share * (middle.astype(np.float32)[blocks.cell[inside]] - draft.heights[inside])
