"""Textures of ground and trees: cut from larger ones that many photos share, since noise as fine costs too much."""

from functools import lru_cache

from jspsr_cli.simulate.fields import Chance, noise, piece, standardised, stream
from jspsr_cli.types import FloatArray

# Wavelengths in metres (longest, shortest) and how fast they lose strength; None is white from pixel to pixel.
TEXTURES: dict[str, tuple[float, float, float] | None] = {
    "speckle": None,
    "crowns": (14.0, 6.0, 2.0),
    "patches": (60.0, 8.0, 2.5),
    "broad": (500.0, 40.0, 3.0),
}

# So many metres more than a photo has.
SPARE = 500.0


@lru_cache(maxsize=2 * len(TEXTURES))
def _whole(kind: str, side: int, metres: float) -> FloatArray:
    """Noise of unit variance, float32 (side, side), always the same."""
    chance = stream(list(TEXTURES).index(kind))
    known = TEXTURES[kind]
    if known is None:
        return standardised(chance.standard_normal((side, side)))
    longest, shortest, roughness = known
    return noise(chance, side, extent=side * metres, longest=longest, shortest=shortest, roughness=roughness)


def texture(kind: str, side: int, metres: float, chance: Chance) -> FloatArray:
    """A part (side, side) of the texture of a kind, turned and mirrored at random; not to be changed."""
    return piece(_whole(kind, side + int(SPARE / metres), metres), side, chance)
