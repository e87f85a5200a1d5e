"""Land that water has shaped: valleys that join, down to where the water leaves.

Heights are those of a river network in steady state, where slope falls with a power of the area drained (Flint 1974;
Braun and Willett 2013 for the tree of receivers). The first network is that of the cheapest ways out of random ground.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from jspsr_cli.simulate.fields import Chance, between_log, noise
from jspsr_cli.types import FloatArray

Indices = NDArray[np.intp]

# Slope is drained area to the power of minus this; 0.4 to 0.6 in nature.
CONCAVITY = 0.45

# Times that the network is led anew down its own steepest slopes; then it hardly changes.
ROUNDS = 3


class _Neighbours(NamedTuple):
    """Of each cell of a square: the eight beside it (itself beyond the edge), and how far they are."""

    cells: Indices
    distances: FloatArray


@lru_cache(maxsize=8)
def _neighbours(side: int) -> _Neighbours:
    index = np.arange(side * side).reshape(side, side)
    padded = np.pad(index, 1, mode="constant", constant_values=-1)
    steps = [(i, j) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)]
    cells = np.stack([padded[i : i + side, j : j + side].ravel() for i, j in steps], axis=1)
    distances = np.tile([np.hypot(i - 1, j - 1) for i, j in steps], (side * side, 1))
    outside = cells < 0
    distances[outside] = np.inf
    return _Neighbours(np.where(outside, index.ravel()[:, None], cells), distances)


def landscape(chance: Chance, side: int, *, wander: float = 0.5) -> FloatArray:
    """Heights (side, side) of land with a river network, lowest 0 and highest 1, float32.

    The larger `wander`, the more the valleys wind.
    """
    around = _neighbours(side)
    outlets = _outlets(chance, side)
    hardness: FloatArray = np.exp(
        wander * noise(chance, side, extent=side, longest=side / 3, shortest=5, roughness=2.5)
    ).ravel()
    receivers, distances = _cheapest(hardness, outlets, around)
    heights: FloatArray = np.zeros(side * side)
    resistance = hardness**0.25
    hillslope = between_log(chance, 3, 60)
    for _ in range(ROUNDS):
        area = _along_rivers(np.ones(side * side), receivers, upstream=True)
        drops = resistance * distances * (area + hillslope) ** -CONCAVITY
        heights = _along_rivers(drops, receivers, upstream=False)
        receivers, distances = _steepest(heights, outlets, around)
    smooth = ndimage.gaussian_filter(heights.reshape(side, side), between_log(chance, 0.8, 3))
    result: FloatArray = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    return result


def _outlets(chance: Chance, side: int) -> Indices:
    """Cells where water leaves: one place at the edge, one side, or two."""
    index = np.arange(side * side).reshape(side, side)
    sides = [index[0], index[:, -1], index[-1], index[:, 0]]
    first = int(chance.integers(4))
    kind = chance.random()
    if kind < 0.35:
        middle = int(chance.integers(side // 8, side - side // 8))
        found: Indices = sides[first][middle : middle + 2]
    else:
        found = sides[first] if kind < 0.8 else np.union1d(sides[first], sides[(first + 1) % 4])
    return found


def _cheapest(hardness: FloatArray, outlets: Indices, around: _Neighbours) -> tuple[Indices, FloatArray]:
    count = len(hardness)
    costs = np.where(np.isfinite(around.distances), around.distances * hardness[around.cells], 0)
    graph = csr_array((costs.ravel(), around.cells.ravel(), np.arange(0, 8 * count + 1, 8)), shape=(count, count))
    _, before, _ = dijkstra(graph, indices=outlets, min_only=True, return_predecessors=True)
    cells = np.arange(count)
    receivers = np.where(before < 0, cells, before)
    side = round(count**0.5)
    far = np.hypot(cells // side - receivers // side, cells % side - receivers % side)
    return receivers, far


def _steepest(heights: FloatArray, outlets: Indices, around: _Neighbours) -> tuple[Indices, FloatArray]:
    """Where the water of each cell goes, and how far. No cell but the outlets lacks a lower neighbour."""
    slopes = (heights[:, None] - heights[around.cells]) / around.distances
    best = slopes.argmax(axis=1)
    cells = np.arange(len(heights))
    receivers, distances = around.cells[cells, best], around.distances[cells, best]
    receivers[outlets], distances[outlets] = outlets, 0
    return receivers, distances


def _along_rivers(values: FloatArray, receivers: Indices, *, upstream: bool) -> FloatArray:
    """Sums of `values` over all cells `upstream` of each, itself among them; or over all on its way out.

    Doubles the reach with each step: as many steps as the longest river has doublings.
    """
    count = len(values)
    # Beyond the outlets lies one more cell, which gives nothing and keeps what it gets.
    total, ahead = np.append(values, 0.0), np.append(receivers, count)
    ahead[:count][receivers == np.arange(count)] = count
    while (moving := ahead < count).any():
        if upstream:
            total = total + np.bincount(ahead[moving], weights=total[moving], minlength=count + 1)
        else:
            total = total + total[ahead]
        ahead = ahead[ahead]
    sums: FloatArray = total[:count]
    return sums
