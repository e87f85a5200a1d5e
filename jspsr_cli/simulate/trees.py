"""Canopy: crowns that touch in a wood, stand in rows in an orchard and alone in a garden."""

from functools import lru_cache

import numpy as np
from scipy import ndimage

from jspsr_cli.simulate.cover import CONIFER, ORCHARD, SCRUB, VINEYARD
from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import Chance, between, enlarged, noise, piece, stream
from jspsr_cli.simulate.layout import Land
from jspsr_cli.types import FloatArray

# Crowns by kind: metres between trees, radius of the widest crown, how much lower its rim is than its top, and the
# share of places without a tree.
CROWNS = {
    "broadleaf": (7.5, 6.5, 0.45, 0.05),
    "conifer": (4.5, 3.6, 0.75, 0.08),
    "single": (11.0, 6.5, 0.6, 0.3),
    "shrub": (7.0, 3.2, 0.5, 0.4),
}

# A wood is cut from one of a larger size, which many scenes share: so many metres more.
SPARE = 400.0


@lru_cache(maxsize=16)
def crowns(kind: str, side: int, metres: float) -> FloatArray:
    """Heights of crowns in shares of the highest tree's, float32 (side, side); always the same."""
    spacing, radius, rim, gaps = CROWNS[kind]
    chance = stream(list(CROWNS).index(kind))
    across = int(side * metres / spacing)
    step = side / across
    places = (np.indices((across, across)) + chance.uniform(0.1, 0.9, (2, across, across))) * step
    rows, cols = places.reshape(2, -1)[:, chance.random(across * across) >= gaps].astype(int)
    ground = np.ones((side, side), dtype=bool)
    ground[rows, cols] = False
    away, (near_row, near_col) = ndimage.distance_transform_edt(ground, sampling=metres, return_indices=True)
    tree = near_row * side + near_col
    vigour = chance.uniform(0.65, 1.0, side * side).astype(np.float32)[tree]
    share = away.astype(np.float32) / (radius * vigour)
    result: FloatArray = np.where(share < 1, vigour * (1 - np.float32(rim) * share**2), 0).astype(np.float32)
    return result


def grow(draft: Draft, land: Land, built: FloatArray, chance: Chance) -> FloatArray:
    """Canopy height above the ground in metres, float32 (side, side)."""
    vary = enlarged(noise(chance, 148, extent=draft.extent, longest=150, shortest=14, roughness=3), draft.side)
    dense = _cut("broadleaf", draft, chance)
    if (land.cover == CONIFER).any():
        dense = np.where(land.cover == CONIFER, _cut("conifer", draft, chance), dense)
    shrubs = _cut("shrub", draft, chance)
    dense = np.where(land.cover == SCRUB, shrubs, dense)
    dense = _in_rows(dense, land, draft, chance)
    thinned = vary > between(chance, -3.5, -0.6)
    canopy = land.stand * (1 + np.float32(0.12) * vary) * dense * thinned
    large, small = np.float32(between(chance, 0, 1)), np.float32(between(chance, 0.3, 1))
    single = np.maximum(_cut("single", draft, chance) * large, shrubs * small)
    canopy = np.maximum(canopy, land.single * single)
    # Branches reach over low roofs at the edge of a crown only.
    free = (built == 0) | (canopy > built + between(chance, 2, 12))
    result: FloatArray = np.maximum(canopy * free, 0).astype(np.float32)
    return result


def _cut(kind: str, draft: Draft, chance: Chance) -> FloatArray:
    """A part of the wood of a kind, turned and mirrored at random."""
    return piece(crowns(kind, draft.side + int(SPARE / draft.metres), draft.metres), draft.side, chance)


def _in_rows(dense: FloatArray, land: Land, draft: Draft, chance: Chance) -> FloatArray:
    """`dense` with orchards and vineyards in rows."""
    where = (land.cover == ORCHARD) | (land.cover == VINEYARD)
    if not where.any():
        return dense
    orchard = land.cover[where] == ORCHARD
    u, v = land.rows.u[where], land.rows.v[where]
    apart = np.float32(between(chance, 4, 8))
    trees = np.cos(u * (2 * np.pi / apart)) * np.cos(v * (2 * np.pi / apart))
    lines = np.cos(u * (2 * np.pi / np.float32(between(chance, 2.2 * draft.metres, 8))))
    dense = dense.copy()
    dense[where] = np.clip(np.where(orchard, trees * 1.6, lines), 0, 1)
    return dense
