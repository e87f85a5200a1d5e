"""Kinds of country, each with what is found in it and how often.

The ranges are wide on purpose: `benchmarks/simulated.py` shows that real sites lie within.
"""

from dataclasses import dataclass
from typing import NamedTuple

from jspsr_cli.simulate.cover import (
    BARE,
    CLEARING,
    CROP,
    MEADOW,
    ORCHARD,
    PARK,
    PASTURE,
    SAND,
    SCRUB,
    TILLED,
    VINEYARD,
    WETLAND,
)

Range = tuple[float, float]


class Houses(NamedTuple):
    """Houses of a kind of block, ranges in metres.

    The width of a `lot` and the `length` of its house along the street, how far from the street it stands (`setback`),
    how deep and, at the eaves, how high it is; the `pitch` of its roof, and the share of lots that are `built` on.
    """

    lot: Range
    length: Range
    setback: Range
    depth: Range
    height: Range
    pitch: Range
    built: float


HOUSES = {
    "detached": Houses((15, 30), (9, 15), (4, 10), (8, 13), (2.8, 6), (0.3, 1.0), 0.88),
    "villas": Houses((22, 45), (11, 22), (6, 16), (9, 16), (4, 9), (0.2, 1.1), 0.85),
    "rows": Houses((6, 10), (10, 10), (0, 5), (8, 12), (5, 10), (0.0, 0.9), 0.94),
    "perimeter": Houses((11, 26), (26, 26), (0, 3), (10, 16), (9, 22), (0.0, 0.5), 0.94),
    "slabs": Houses((28, 55), (10, 15), (4, 10), (22, 55), (9, 32), (0.0, 0.0), 0.75),
    "towers": Houses((45, 75), (17, 28), (8, 20), (17, 28), (20, 55), (0.0, 0.0), 0.7),
    "sheds": Houses((35, 110), (24, 95), (8, 18), (25, 70), (4.5, 14), (0.0, 0.15), 0.8),
    "low": Houses((30, 60), (16, 40), (5, 15), (14, 32), (3, 6), (0.0, 0.3), 0.7),
    "none": Houses((30, 60), (10, 20), (5, 10), (10, 20), (3, 5), (0.0, 0.0), 0.04),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A kind of country. Shares from 0 to 1, lengths in metres, weights are relative to one another.

    `ground` are kinds of `terrain.KINDS`; `forest` and `town` the shares of the scene under each (below 0 is none),
    `conifer` that of conifer stands, and `stands` the usual height of trees; `fields` covers of parcels of the size
    `parcels`; `hedges` the share of parcels that have one; `features` the chances of what `features.FEATURES` does;
    `blocks` kinds of `HOUSES`; `gardens` the height of trees there, and `shade` how much of a garden they cover.
    """

    name: str
    weight: float
    ground: dict[str, float]
    relief: Range
    forest: Range
    conifer: Range = (0, 0.6)
    stands: Range = (4, 28)
    town: Range = (-0.12, 0.06)
    blocks: dict[str, float]
    fields: dict[int, float]
    parcels: Range = (60, 220)
    hedges: Range = (0, 0.6)
    features: dict[str, float]
    gardens: Range = (2.5, 13)
    shade: Range = (0.4, 1.0)


VILLAGE = {"detached": 5.0, "rows": 2.0, "villas": 1.0, "sheds": 0.7, "low": 0.5, "none": 1.0}
SUBURB = {"detached": 6.0, "villas": 3.0, "rows": 1.5, "slabs": 0.5, "low": 0.8, "none": 0.8}
CITY = {"perimeter": 5.0, "rows": 3.0, "slabs": 2.0, "towers": 1.0, "low": 1.0, "detached": 1.0, "none": 1.0}
WORKS = {"sheds": 6.0, "low": 2.0, "slabs": 0.5, "towers": 0.2, "none": 2.0}

MIXED = {PASTURE: 3.0, MEADOW: 1.0, CROP: 3.0, TILLED: 1.5, ORCHARD: 0.4, SCRUB: 0.4}
ARABLE = {CROP: 5.0, TILLED: 3.0, MEADOW: 1.0, PASTURE: 0.5, ORCHARD: 0.2}
WILD = {SCRUB: 2.0, MEADOW: 2.0, BARE: 1.0, PASTURE: 2.0, CLEARING: 1.0}

USUAL = {"banks": 0.4, "road": 0.5, "bumps": 0.15, "lake": 0.12, "quarry": 0.07, "scarp": 0.1}

RECIPES = (
    Recipe(name="bocage", weight=1.4, ground={"hills": 3, "plain": 1, "hummocks": 1}, relief=(8, 60),
           forest=(0.03, 0.3), parcels=(35, 120), hedges=(0.5, 1.0), fields=MIXED, town=(-0.1, 0.12), blocks=VILLAGE,
           features={**USUAL, "river": 0.3}),
    Recipe(name="open fields", weight=1.0, ground={"plain": 2, "hills": 2}, relief=(3, 45), forest=(0, 0.12),
           parcels=(120, 400), hedges=(0, 0.15), fields=ARABLE, blocks=VILLAGE, features={**USUAL, "terraces": 0.1}),
    Recipe(name="village", weight=1.4, ground={"hills": 3, "plain": 2}, relief=(4, 70), forest=(0.03, 0.25),
           hedges=(0.1, 0.8), fields=MIXED, town=(0.2, 0.9), blocks=VILLAGE, shade=(0.5, 1.0),
           features={**USUAL, "river": 0.45}),
    Recipe(name="forest", weight=1.2, ground={"hills": 3, "hummocks": 1, "plain": 1}, relief=(6, 110),
           forest=(0.6, 1.0), fields={**WILD, PASTURE: 3.0}, blocks=VILLAGE, features={**USUAL, "river": 0.25}),
    Recipe(name="conifer slopes", weight=1.2, ground={"mountain": 1, "hills": 2, "hummocks": 1}, relief=(10, 220),
           forest=(0.6, 1.0), conifer=(0.7, 1.0), stands=(8, 34), parcels=(90, 400), fields=WILD, blocks=VILLAGE,
           features={"banks": 0.3, "road": 0.4, "bumps": 0.2, "scarp": 0.25, "quarry": 0.06, "river": 0.15}),
    Recipe(name="mountain", weight=0.7, ground={"mountain": 1}, relief=(120, 420), forest=(0.1, 0.7),
           conifer=(0.3, 1.0), fields={**WILD, BARE: 3.0}, blocks=VILLAGE,
           features={"road": 0.3, "scarp": 0.3, "river": 0.2, "bumps": 0.2}),
    Recipe(name="bare hills", weight=0.6, ground={"hills": 2, "mountain": 1, "hummocks": 2}, relief=(10, 200),
           forest=(0, 0.08), hedges=(0, 0.05), fields={BARE: 1, SCRUB: 1, PASTURE: 3, MEADOW: 2}, blocks=VILLAGE,
           features={"banks": 0.5, "road": 0.3, "bumps": 0.5, "scarp": 0.4, "quarry": 0.25, "terraces": 0.2}),
    Recipe(name="leafy suburb", weight=1.4, ground={"hills": 2, "plain": 3}, relief=(3, 40), forest=(0.02, 0.25),
           fields={PARK: 4.0, MEADOW: 1.0, PASTURE: 1.0}, town=(0.6, 1.0), blocks=SUBURB, gardens=(8, 28),
           shade=(0.4, 1.0), stands=(10, 28), features={**USUAL, "river": 0.15}),
    Recipe(name="suburb", weight=1.0, ground={"hills": 2, "plain": 3}, relief=(2, 50), forest=(0, 0.12),
           fields={PARK: 2.0, MEADOW: 1.0, CROP: 1.0}, town=(0.5, 1.0), blocks=SUBURB, features=USUAL),
    Recipe(name="city", weight=0.9, ground={"plain": 3, "hills": 2}, relief=(2, 60), forest=(0, 0.06),
           fields={PARK: 1.0}, town=(0.8, 1.0), blocks=CITY, gardens=(5, 20), features={**USUAL, "river": 0.25}),
    Recipe(name="park and town", weight=0.8, ground={"plain": 3, "hills": 1}, relief=(2, 25), forest=(0.05, 0.35),
           fields={PARK: 3.0, MEADOW: 2.0, PASTURE: 1.0}, town=(0.15, 0.6), gardens=(6, 26), shade=(0.2, 0.9),
           blocks={"low": 3.0, "sheds": 1.5, "detached": 2.0, "none": 3.0}, parcels=(80, 260), stands=(10, 32),
           features={**USUAL, "river": 0.5, "bumps": 0.35}),
    Recipe(name="works", weight=0.8, ground={"plain": 3, "hills": 2}, relief=(2, 50), forest=(0, 0.15),
           fields={MEADOW: 1.0, SCRUB: 1.0, BARE: 1.0, CROP: 1.0}, town=(0.35, 0.95), blocks=WORKS,
           features={**USUAL, "river": 0.35, "quarry": 0.2, "road": 0.9}),
    Recipe(name="vineyards", weight=0.6, ground={"hills": 1}, relief=(15, 130), forest=(0.02, 0.3),
           parcels=(40, 140), fields={VINEYARD: 5.0, ORCHARD: 2.0, SCRUB: 1.0, TILLED: 1.0}, town=(-0.1, 0.2),
           blocks=VILLAGE, features={**USUAL, "terraces": 0.6}),
    Recipe(name="flood plain", weight=0.9, ground={"plain": 1}, relief=(1, 6), forest=(0, 0.3),
           fields={**MIXED, WETLAND: 1.0}, town=(-0.1, 0.25), blocks=VILLAGE,
           features={"river": 1.0, "banks": 0.7, "lake": 0.35, "road": 0.4}),
    Recipe(name="coast", weight=0.7, ground={"plain": 1, "hills": 1}, relief=(3, 60), forest=(0, 0.35),
           fields={**MIXED, WETLAND: 1.0, SCRUB: 1.0}, town=(-0.1, 0.5), blocks=SUBURB,
           features={**USUAL, "coast": 1.0}),
    Recipe(name="dunes", weight=0.4, ground={"dunes": 1}, relief=(5, 30), forest=(0, 0.6), conifer=(0.4, 1.0),
           stands=(5, 18), fields={SAND: 2.0, SCRUB: 1.0, MEADOW: 1.0}, blocks=VILLAGE, town=(-0.1, 0.15),
           features={"coast": 0.4, "road": 0.2, "bumps": 0.2}),
    Recipe(name="hummocks", weight=0.5, ground={"hummocks": 1}, relief=(8, 40), forest=(0.1, 0.7),
           conifer=(0.2, 1.0), fields={PASTURE: 2.0, MEADOW: 1.0, WETLAND: 1.0, SCRUB: 1.0}, blocks=VILLAGE,
           features={"lake": 0.5, "banks": 0.2, "road": 0.3}),
    Recipe(name="pits", weight=0.4, ground={"hills": 2, "plain": 1}, relief=(5, 80), forest=(0.05, 0.6),
           fields=WILD, blocks=WORKS, town=(-0.1, 0.2), features={**USUAL, "quarry": 1.0, "lake": 0.4, "scarp": 0.3}),
)  # fmt: skip
