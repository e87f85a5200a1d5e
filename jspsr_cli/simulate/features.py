"""What rivers, the sea and people did to the ground: each function changes a `Draft` in place."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from jspsr_cli.simulate.cover import BARE, PAVED, QUARRY, SAND, WATER, WETLAND
from jspsr_cli.simulate.draft import PROFILE_STEP, Draft, Line
from jspsr_cli.simulate.fields import Chance, between, between_log, enlarged, noise, smoothstep
from jspsr_cli.types import BoolArray, FloatArray

# Nothing that is built up or cut reaches further from its middle, in metres.
REACH = 80.0

# Deeper cuts are tunnels, and higher embankments viaducts: metres.
HIGHEST_BANK = 14.0


def river(draft: Draft, chance: Chance) -> None:
    """A river in the valley that it made, with terraces, levees and steep banks."""
    line = draft.line(chance, bend=between(chance, 0.2, 1.2))
    away = line.distance
    width, plain = between_log(chance, 4, 110), between_log(chance, 20, 350)
    bank = between(chance, 0.7, 4.0)
    along, _ = line.profile(draft.heights, width=30)
    level = np.float32(np.quantile(along, 0.05) - bank)
    floor = level + np.float32(bank)
    slope = smoothstep((away - np.float32(plain)) / np.float32(between_log(chance, 60, 350)))
    above = np.maximum(draft.heights - floor, np.float32(0.0))
    if chance.random() < 0.4:
        above = terraced(above, step=between(chance, 2, 8), riser=between(chance, 0.15, 0.4))
    draft.heights = floor + above * slope + _swales(draft, chance) * (1 - slope)
    if chance.random() < 0.4:  # silt, or a dike
        levee, crest = between(chance, 5, 30), between_log(chance, 0.4, 4.5)
        middle = np.float32(width / 2 + levee + between(chance, 0, 40))
        draft.heights += np.float32(crest) * np.exp(-(((away - middle) / np.float32(levee / 2)) ** 2))
    edge = (away - np.float32(width / 2)) / np.float32(between_log(chance, 1.5, 12))
    draft.heights = level + (draft.heights - level) * smoothstep(edge)
    _flood(draft, edge <= 0, level)


def _swales(draft: Draft, chance: Chance) -> FloatArray:
    """Old channels on a flood plain, in metres."""
    swales = noise(chance, 74, extent=draft.extent, longest=120, shortest=30)
    return enlarged(swales * np.float32(between_log(chance, 0.1, 0.7)), draft.side)


def _flood(draft: Draft, where: BoolArray, level: np.float32) -> None:
    draft.heights[where], draft.water[where], draft.forced[where] = level, True, WATER


def terraced(heights: FloatArray, *, step: float, riser: float) -> FloatArray:
    """`heights` as stairs of `step` metres, the share `riser` of which is steep."""
    stairs = heights / np.float32(step)
    floor = np.floor(stairs)
    rise = smoothstep((stairs - floor - np.float32(1 - riser)) / np.float32(riser))
    tread = np.float32(0.12) * (stairs - floor)  # nobody's terrace is level
    result: FloatArray = (floor + rise * np.float32(0.88) + tread) * np.float32(step)
    return result


def coast(draft: Draft, chance: Chance) -> None:
    """The sea at height 0, behind a beach, a marsh with its dike, or a cliff."""
    line = draft.line(chance, bend=between(chance, 0.1, 0.8))
    inland = line.across + enlarged(noise(chance, 74, extent=draft.extent, longest=200, shortest=30), draft.side) * 8
    land = draft.heights - draft.heights.min() + np.float32(1.5)
    kind = chance.random()
    if kind < 0.45:
        rise = smoothstep(inland / np.float32(between_log(chance, 150, 700)))
        dune = np.exp(-(((inland - 70) / np.float32(between(chance, 15, 35))) ** 2)) * np.float32(between(chance, 0, 9))
        draft.heights = np.float32(0.02) * inland + dune * (1 + 0.4 * np.sin(line.along / 23)) + land * rise
        draft.forced[inland < 60] = SAND
    elif kind < 0.7:
        dike = between(chance, 60, 250)
        crest, foot = np.float32(between(chance, 3, 7)), np.abs(inland - np.float32(dike))
        flat = np.float32(0.6) + land * smoothstep((inland - np.float32(dike) - 200) / 600)
        draft.heights = np.maximum(flat, crest - np.maximum(foot - 3, 0) / np.float32(between(chance, 2, 4)))
        draft.forced[inland < np.float32(dike - 20)] = WETLAND
    else:
        high, steep = np.float32(between_log(chance, 4, 60)), np.float32(between_log(chance, 6, 50))
        draft.heights = np.float32(0.05) * inland + (land + high) * smoothstep((inland - 10) / steep)
        draft.forced[inland < 10 + steep] = BARE
    _flood(draft, inland <= 0, np.float32(0))


def lake(draft: Draft, chance: Chance) -> None:
    """A pond, a lake or a flooded pit, level, with banks down to it."""
    outside = draft.blob(chance, radius=between_log(chance, 15, 180))
    shore = np.abs(outside) < 8
    if not shore.any():
        return
    level = np.float32(np.quantile(draft.heights[shore], 0.1) - between(chance, 0.3, 3))
    bank = outside / np.float32(between_log(chance, 1.2, 4))
    draft.heights = np.where(outside > 0, np.minimum(draft.heights, level + np.maximum(bank, 0)), draft.heights)
    ridge = level + np.float32(0.5) - (outside - 15) / 3
    draft.heights = np.where(outside < 40, np.maximum(draft.heights, np.minimum(level + bank, ridge)), draft.heights)
    _flood(draft, outside <= 0, level)


def road(draft: Draft, chance: Chance) -> None:
    """A road or a railway: an even grade through cuts and over embankments, bridges over water."""
    line = draft.line(chance, bend=between_log(chance, 0.05, 0.8))
    half = between_log(chance, 3, 14)
    raised = between(chance, 1, 8) if chance.random() < 0.3 else between(chance, -0.3, 0.6)
    graded(draft, line, chance, half=half, smooth=between_log(chance, 25, 250), raised=raised)


def graded(draft: Draft, line: Line, chance: Chance, *, half: float, smooth: float, raised: float) -> None:
    """Lay an even way of twice `half` metres along `line`, `raised` above the ground that it smooths."""
    along, places = line.profile(draft.heights, width=half + 4)
    even = ndimage.gaussian_filter1d(along, smooth / PROFILE_STEP, mode="nearest") + raised
    grade = np.clip(even, along - HIGHEST_BANK, along + HIGHEST_BANK)
    near = line.distance < REACH
    away = line.distance[near]
    way = np.interp(line.along[near], places, grade).astype(np.float32)
    spread = np.maximum(away - np.float32(half + 1), 0) / np.float32(between(chance, 1.2, 2.5))
    ground, water = draft.heights[near], draft.water[near]
    paved = away < half
    draft.heights[near] = np.where(water, ground, np.clip(ground, way - spread, way + spread))
    span = paved & water
    draft.built[near] = np.where(span, np.maximum(way - ground, 2), np.where(paved, 0, draft.built[near]))
    draft.forced[near] = np.where(paved & ~water, PAVED, draft.forced[near])


def quarry(draft: Draft, chance: Chance) -> None:
    """A pit with benches, or the heap of what came out of one."""
    outside = draft.blob(chance, radius=between_log(chance, 30, 170))
    rim = np.abs(outside) < 12
    if not rim.any():
        return
    steep, most = np.float32(between(chance, 0.6, 1.6)), np.float32(between_log(chance, 4, 50))
    depth = np.minimum(np.maximum(-outside, 0) * steep, most)
    if chance.random() < 0.6:
        depth = terraced(depth, step=between(chance, 5, 12), riser=between(chance, 0.3, 0.6))
    if chance.random() < 0.6:
        draft.heights = draft.heights - depth
    else:
        top = np.float32(np.quantile(draft.heights[rim], 0.5))
        draft.heights = np.where(outside < 0, np.maximum(draft.heights, top) + depth * np.float32(0.6), draft.heights)
    draft.forced[outside < 3] = QUARRY


def scarp(draft: Draft, chance: Chance) -> None:
    """A step across the scene: a cliff, a fault, the edge of a terrace."""
    line = draft.line(chance, bend=between(chance, 0.2, 1.5))
    rough = enlarged(noise(chance, 148, extent=draft.extent, longest=80, shortest=16), draft.side)
    steep = np.float32(between_log(chance, 4, 60))
    height = between_log(chance, 1.5, 30) * smoothstep(1 - np.abs(line.along) / np.float32(draft.extent * 0.7))
    draft.heights = draft.heights + height * smoothstep((line.across + rough * 4) / steep)


def bumps(draft: Draft, chance: Chance) -> None:
    """Mounds, pits, bunkers, sink holes: small, sharp and lasting."""
    size = between_log(chance, 25, 90)
    field = noise(chance, 148, extent=draft.extent, longest=size, shortest=size / 3, roughness=1.5)
    patches = smoothstep(noise(chance, 148, extent=draft.extent, longest=500, shortest=150))
    rare = np.maximum(field - np.float32(between(chance, 1.2, 2.2)), 0) * patches
    height = between_log(chance, 1, 8) * (1 if chance.random() < 0.7 else -1)
    draft.heights = draft.heights + enlarged(rare * np.float32(height), draft.side)


def terraces(draft: Draft, chance: Chance) -> None:
    """Fields in steps along the contours of a slope."""
    step, lowest = between_log(chance, 0.8, 4), np.float32(draft.heights.min())
    where = enlarged(noise(chance, 74, extent=draft.extent, longest=600, shortest=150), draft.side)
    share = smoothstep((where + np.float32(between(chance, -0.5, 0.8))) * 4)
    stairs = terraced(draft.heights - lowest, step=step, riser=between(chance, 0.1, 0.35)) + lowest
    draft.heights = draft.heights + share * (stairs - draft.heights)


def banks(draft: Draft, chance: Chance) -> None:
    """A ditch, a dike or a sunken way across country."""
    line = draft.line(chance, bend=between_log(chance, 0.05, 1.0), near=0.45)
    height = between_log(chance, 0.7, 5) * (1 if chance.random() < 0.6 else -1)
    half, slope = between(chance, 1, 5), between(chance, 1.2, 3)
    rise = np.clip(1 - (line.distance - np.float32(half)) / np.float32(abs(height) * slope), 0, 1)
    draft.heights = draft.heights + np.where(draft.water, 0, rise * np.float32(height)).astype(np.float32)


#: name in a recipe to what is done, in this order
FEATURES: dict[str, Callable[[Draft, Chance], None]] = {
    "terraces": terraces, "scarp": scarp, "bumps": bumps, "quarry": quarry, "coast": coast, "river": river,
    "lake": lake, "banks": banks, "road": road,
}  # fmt: skip


def add_feature(draft: Draft, name: str, chance: Chance) -> None:
    """Change `draft` as one of `FEATURES` does; water that is there already stays where and as level as it is."""
    water, levels = draft.water.copy(), draft.heights[draft.water]
    FEATURES[name](draft, chance)
    draft.heights[water], draft.forced[water] = levels, WATER
