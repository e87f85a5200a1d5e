"""Houses along streets, one lot after another, and the farms between fields."""

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import Chance, between
from jspsr_cli.simulate.layout import Land, Town
from jspsr_cli.simulate.recipes import HOUSES
from jspsr_cli.types import FloatArray

# Lots share a table of so many draws, a power of two.
DRAWS = 4096

# Metres between a house and the end of its block, where the next street may be.
CORNER = 7.0


def build(draft: Draft, land: Land, chance: Chance) -> FloatArray:
    """Heights of buildings and bridges above the ground (side, side), 0 where there are none."""
    built = draft.built
    if land.town:
        built[land.town.urban] = np.maximum(built[land.town.urban], _houses(land.town, chance))
    _farms(draft, land, chance, built)
    return built


def _houses(town: Town, chance: Chance) -> FloatArray:
    """Heights of houses on the pixels of `town.urban` (pixels,)."""
    blocks, where = town.blocks, town.urban
    cell, v, street, corner = blocks.cell[where], blocks.v[where], blocks.across[where], blocks.along[where]
    ranges = np.array([[*h.lot, *h.length, *h.setback, *h.depth, *h.height, *h.pitch] for h in HOUSES.values()])
    # Neighbours are alike: a block has its own values, its lots vary a little around them.
    values = _within(ranges[town.houses], chance.random((blocks.count, 6))).astype(np.float32)
    lot, length, setback, depth, height, pitch = (np.ascontiguousarray(column)[cell] for column in values.T)
    position = (v + np.float32(10_000)) / lot
    number = np.floor(position)
    middle = (position - number - np.float32(0.5)) * lot
    key = (number.astype(np.int32) * 7919 + cell * 10_473 + blocks.side[where] * 1299) & (DRAWS - 1)
    draw = [table[key] for table in chance.random((8, DRAWS), dtype=np.float32)]
    share = np.array([h.built for h in HOUSES.values()], dtype=np.float32)[town.houses][cell]
    length = np.minimum(length * (np.float32(0.8) + np.float32(0.4) * draw[0]), lot)
    depth = depth * (np.float32(0.8) + np.float32(0.4) * draw[1])
    back = setback * (np.float32(0.7) + np.float32(0.6) * draw[2]) + np.float32(4)
    shift = (draw[3] - np.float32(0.5)) * np.maximum(lot - length - 2, 0)
    across = depth / 2 - np.abs(street - back - depth / 2)
    along = length / 2 - np.abs(middle - shift)
    inside = np.minimum(across, along)
    roof = np.where(draw[4] < 0.6, across, inside)
    tall = height * (np.float32(0.75) + np.float32(0.5) * draw[5]) + pitch * np.minimum(roof, 7)
    free = (corner > CORNER) & (draw[6] < share)
    house = np.where((inside > 0) & free, tall, 0)
    # A wing towards the garden, or a hut in it.
    wing = np.minimum(length / 5 - np.abs(middle - shift - length / 4), depth / 2 - np.abs(street - back - depth))
    hut = np.minimum(3 - np.abs(middle + lot / 4), 2.5 - np.abs(street - back - depth - 12))
    house = np.where((wing > 0) & free & (draw[7] < 0.35), np.maximum(house, tall * np.float32(0.8)), house)
    house = np.where((hut > 0) & free & (draw[7] > 0.6) & (lot > 12), np.maximum(house, np.float32(2.6)), house)
    result: FloatArray = house
    return result


def _within(ranges: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at `share` (cells, n) of `ranges` (cells, 2 n)."""
    low, high = ranges[:, ::2], ranges[:, 1::2]
    return low + share * (high - low)


def _farms(draft: Draft, land: Land, chance: Chance, built: FloatArray) -> None:
    """Clusters of houses and barns on open ground."""
    for _ in range(int(chance.poisson(1.2))):
        row, col = chance.integers(30, draft.side - 30, 2)
        angle = between(chance, 0, np.pi)
        for _ in range(int(chance.integers(2, 7))):
            half = (between(chance, 4, 7), between(chance, 5, 20))
            at = (row + chance.normal(0, 22) / draft.metres, col + chance.normal(0, 22) / draft.metres)
            turned = angle + np.pi / 2 * int(chance.integers(2))
            _box(draft, land, built, at, half, turned, height=between(chance, 2.8, 8), pitch=between(chance, 0, 0.7))


def _box(
    draft: Draft,
    land: Land,
    built: FloatArray,
    at: tuple[float, float],
    half: tuple[float, float],
    angle: float,
    *,
    height: float,
    pitch: float,
) -> None:
    """One house of twice `half` metres around the pixel `at`, where nothing is in its way."""
    reach = int(np.hypot(*half) / draft.metres) + 1
    top, left = int(at[0]) - reach, int(at[1]) - reach
    if min(top, left) < 0 or max(top, left) + 2 * reach >= draft.side:
        return
    here = (slice(top, top + 2 * reach), slice(left, left + 2 * reach))
    rows, cols = np.ogrid[here]
    y, x = (rows - at[0]) * draft.metres, (cols - at[1]) * draft.metres
    across = half[0] - np.abs(x * np.cos(angle) + y * np.sin(angle))
    along = half[1] - np.abs(y * np.cos(angle) - x * np.sin(angle))
    inside = (np.minimum(across, along) > 0) & (land.stand[here] == 0) & ~draft.water[here]
    built[here] = np.where(inside, np.maximum(built[here], height + pitch * across), built[here])
