"""The shape of the ground before people came: plains, hills, mountains, dunes."""

from collections.abc import Callable

import numpy as np

from jspsr_cli.simulate.drainage import landscape
from jspsr_cli.simulate.fields import Chance, between, between_log, enlarged, noise, smoothstep
from jspsr_cli.types import FloatArray

# Cells of the grids that the ground is shaped on: of river networks, and of all else. Finer is what people made.
NETWORK, COARSE = 100, 148

# Ice and slides leave no more relief than this in metres.
HIGHEST_HUMMOCKS = 40.0

# Metres above the sea of the lowest ground.
LOWEST, HIGHEST = 1.0, 1500.0


def ground(chance: Chance, kind: str, *, side: int, extent: float, relief: float) -> FloatArray:
    """Heights in metres (side, side) of ground of one of `KINDS`, float32; `relief` is about their range."""
    shape = KINDS[kind](chance, extent, relief)
    tilt = _tilt(chance) * np.float32(between_log(chance, 0.5, 12))
    rough = noise(chance, COARSE, extent=extent, longest=150, shortest=20, roughness=3)
    patches = smoothstep(0.5 + noise(chance, COARSE, extent=extent, longest=500, shortest=150) / 2)
    shape = shape + tilt + rough * patches * np.float32(between_log(chance, 0.02, 0.35))
    lowest = between_log(chance, LOWEST, HIGHEST)
    return enlarged(shape, side) + np.float32(lowest - shape.min())


def _tilt(chance: Chance) -> FloatArray:
    """An even slope of 1 m over the scene in any direction."""
    across = (np.arange(COARSE, dtype=np.float32) - COARSE / 2) / COARSE
    angle = between(chance, 0, 2 * np.pi)
    slope: FloatArray = across * np.float32(np.cos(angle)) + across[:, None] * np.float32(np.sin(angle))
    return slope


def _plain(chance: Chance, extent: float, relief: float) -> FloatArray:
    low = noise(chance, COARSE, extent=extent, longest=between(chance, 300, 1200), shortest=60)
    small: FloatArray = noise(chance, COARSE, extent=extent, longest=200, shortest=40) * np.float32(0.08)
    return (low + small) * np.float32(relief / 4)


def _hills(chance: Chance, extent: float, relief: float) -> FloatArray:
    """River valleys, seen from near or far, their floors or the tops between them perhaps levelled."""
    cell = between_log(chance, 1.02 * extent / NETWORK, 2.6 * extent / NETWORK)
    cells = int(extent / cell)
    whole = landscape(chance, NETWORK, wander=between(chance, 0.35, 0.9))
    row, col = chance.integers(0, NETWORK - cells + 1, 2)
    part = whole[row : row + cells, col : col + cells]
    part = enlarged((part - part.min()) / max(float(np.ptp(part)), 1e-6), COARSE)
    form, level = chance.random(), np.float32(between(chance, 0.15, 0.5))
    if form < 0.3:  # broad floors
        part = np.logaddexp(part * 12, level * 12).astype(np.float32) / 12
    elif form < 0.5:  # a plateau
        part = -np.logaddexp(-part * 12, -(1 - level) * 12).astype(np.float32) / 12
    scaled: FloatArray = (part - part.min()) / np.float32(max(float(np.ptp(part)), 1e-6)) * np.float32(relief)
    return scaled


def _mountain(chance: Chance, extent: float, relief: float) -> FloatArray:
    """Steep valleys under a crest, with rock that stands out."""
    crags = noise(chance, COARSE, extent=extent, longest=250, shortest=20, roughness=3)
    high = _hills(chance, extent, relief)
    rocky = smoothstep(high / np.float32(relief) * 2 - between(chance, 0.3, 1.2))
    return high + rocky * crags * np.float32(between(chance, 1, 6))


def _hummocks(chance: Chance, extent: float, relief: float) -> FloatArray:
    """Moraines, drumlins, old slides: hillocks and hollows of 40 to 250 m."""
    size, relief = between_log(chance, 60, 250), min(relief, HIGHEST_HUMMOCKS)
    bumps = noise(chance, COARSE, extent=extent, longest=size, shortest=size / 4, roughness=3.0)
    strength = smoothstep(0.6 + noise(chance, COARSE, extent=extent, longest=600, shortest=150) / 2)
    return _plain(chance, extent, relief / 2) + bumps * strength * np.float32(relief / 6)


def _dunes(chance: Chance, extent: float, relief: float) -> FloatArray:
    """Ridges across the wind, gentle on one side and steep on the other."""
    across = (np.arange(COARSE, dtype=np.float32) - COARSE / 2) * np.float32(extent / COARSE)
    angle = between(chance, 0, 2 * np.pi)
    way = across * np.float32(np.cos(angle)) + across[:, None] * np.float32(np.sin(angle))
    bent = way + noise(chance, COARSE, extent=extent, longest=600, shortest=120) * np.float32(between(chance, 30, 110))
    phase = bent / np.float32(between_log(chance, 60, 200)) % 1
    crest = np.float32(between(chance, 0.55, 0.8))
    ridge = np.where(phase < crest, smoothstep(phase / crest), smoothstep((1 - phase) / (1 - crest)))
    strength = smoothstep(0.5 + noise(chance, COARSE, extent=extent, longest=700, shortest=120) / 2)
    return _plain(chance, extent, relief / 4) + ridge * strength * np.float32(relief * 0.7)


#: kind of ground to the function that shapes it: (chance, extent in metres, relief in metres) -> heights
KINDS: dict[str, Callable[[Chance, float, float], FloatArray]] = {
    "plain": _plain, "hills": _hills, "mountain": _mountain, "hummocks": _hummocks, "dunes": _dunes,
}  # fmt: skip
