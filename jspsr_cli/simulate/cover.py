"""What covers the ground, finer than the classes of land use that the network knows."""

from typing import NamedTuple

import numpy as np

NONE = 255


class Cover(NamedTuple):
    """A kind of cover, its class of DFC2022 (see `raster.landuse`), and its colour on picture sheets."""

    name: str
    land_use: int
    colour: tuple[int, int, int]


#: By the number that stands for each in `Scene.cover`.
COVERS = (
    Cover("pasture", 7, (150, 200, 110)),
    Cover("meadow", 7, (170, 215, 130)),
    Cover("crop", 5, (230, 220, 140)),
    Cover("tilled", 5, (190, 150, 110)),
    Cover("vineyard", 6, (170, 110, 140)),
    Cover("orchard", 6, (140, 180, 60)),
    Cover("broadleaf", 10, (20, 110, 40)),
    Cover("conifer", 10, (10, 70, 60)),
    Cover("clearing", 10, (140, 160, 110)),
    Cover("scrub", 11, (120, 150, 70)),
    Cover("bare", 12, (170, 165, 155)),
    Cover("sand", 12, (240, 230, 180)),
    Cover("wetland", 13, (100, 170, 170)),
    Cover("water", 14, (60, 110, 220)),
    Cover("garden", 1, (235, 200, 200)),
    Cover("yard", 2, (190, 190, 205)),
    Cover("paved", 2, (90, 90, 90)),
    Cover("park", 4, (90, 200, 90)),
    Cover("quarry", 3, (200, 170, 130)),
)

(PASTURE, MEADOW, CROP, TILLED, VINEYARD, ORCHARD, BROADLEAF, CONIFER, CLEARING, SCRUB, BARE, SAND, WETLAND, WATER,
 GARDEN, YARD, PAVED, PARK, QUARRY) = range(len(COVERS))  # fmt: skip

# Classes of DFC2022 by the number of a cover.
LAND_USE = np.array([cover.land_use for cover in COVERS], dtype=np.uint8)
