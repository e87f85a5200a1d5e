"""Boxes (west, south, east, north), and longitudes, which come round.

A box in longitude and latitude is one interval from west to east, which goes on beyond 180 where it lies across the
antimeridian; the same ground has the same box 360 degrees further on. Whatever compares, joins or reads longitudes
brings them into one turn with `turns_to` or `turns_together`, and so does not meet the antimeridian at all.
"""

import math
from collections.abc import Sequence

from jspsr_cli.types import Bounds

# Degrees of longitude after which the same ground comes again.
TURN = 360.0


def intersect(boxes: Sequence[Bounds]) -> Bounds | None:
    """The common box, or None where there is none."""
    west, south = (max(box[i] for box in boxes) for i in (0, 1))
    east, north = (min(box[i] for box in boxes) for i in (2, 3))
    return (west, south, east, north) if west < east and south < north else None


def unite(boxes: Sequence[Bounds]) -> Bounds:
    """The smallest box around all `boxes`."""
    west, south = (min(box[i] for box in boxes) for i in (0, 1))
    east, north = (max(box[i] for box in boxes) for i in (2, 3))
    return west, south, east, north


def turned(box: Bounds, turns: int) -> Bounds:
    """The same ground, counted `turns` turns further east."""
    west, south, east, north = box
    return west + turns * TURN, south, east + turns * TURN, north


def turns_to(lon: float, box: Bounds) -> int:
    """Turns that bring the middle of `box` to within 180 degrees of `lon`."""
    return round((lon - (box[0] + box[2]) / 2) / TURN)


def turns_together(boxes: Sequence[Bounds]) -> list[int]:
    """Turns of each box that bring all close together: on both sides of Greenwich, or of the antimeridian."""
    ways = [[turns_to(lon, box) for box in boxes] for lon in (0, 180)]

    def width(way: list[int]) -> float:
        west, _, east, _ = unite([turned(*pair) for pair in zip(boxes, way, strict=True)])
        return east - west

    return min(ways, key=width)


def unite_lonlat(boxes: Sequence[Bounds]) -> Bounds:
    """The smallest box in longitude and latitude around all `boxes`, whatever turn each is counted in."""
    return unite([turned(*pair) for pair in zip(boxes, turns_together(boxes), strict=True)])


def intersect_lonlat(boxes: Sequence[Bounds]) -> Bounds | None:
    """The common box in longitude and latitude, whatever turn each is counted in; its middle is from -180 to 180.

    Where a wide box covers both ends of a narrower one, as the world does with all that lies across its edge, the
    result reaches from the one end to the other.
    """
    common, *wider = sorted(boxes, key=lambda box: box[2] - box[0])
    for box in wider:
        first = math.floor((common[0] - box[2]) / TURN)
        last = math.ceil((common[2] - box[0]) / TURN)
        parts = [intersect([common, turned(box, turns)]) for turns in range(first, last + 1)]
        met = [part for part in parts if part]
        if not met:
            return None
        common = unite(met)
    return turned(common, turns_to(0, common))
