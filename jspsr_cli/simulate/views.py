"""The layers of a sample: what there is to see of a scene, on the sample's grid."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.raster.samples import SamplePixels
from jspsr_cli.simulate.canopymap import CanopyKind, canopy_map
from jspsr_cli.simulate.cover import LAND_USE
from jspsr_cli.simulate.fields import averaged, stream
from jspsr_cli.simulate.photo import photo
from jspsr_cli.simulate.radar import elevation_models
from jspsr_cli.simulate.real import RealGround
from jspsr_cli.simulate.scene import CANOPY_MAP, PHOTO, RADAR, Scene, simulate_scene
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH

# Layers of a sample, the truth last: where it is, all are.
LAYERS = ("COP30", "FABDEM", GUIDE_LAYERS["canopy"], GUIDE_LAYERS["mask"], GUIDE_LAYERS["image"], TRUTH)

# Samples are called so where nothing else is said.
NAME = "Simulated"


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What decides the pixels of all samples of a set: `size` is in pixels of `resolution` metres.

    Scenes are made up, or lie on `ground`. `canopy` is the kind of all canopy maps, None to draw one for each sample;
    COP30 and FABDEM have a tile-wide bias if `biased`.
    """

    seed: int = 0
    resolution: float = 8.0
    size: int = 128
    ground: RealGround | None = None
    canopy: CanopyKind | None = None
    biased: bool = True

    def scene(self, number: int) -> Scene:
        """The scene of sample `number`. Raises as `RealGround.scene`."""
        if self.ground:
            return self.ground.scene(self.seed, number, resolution=self.resolution, size=self.size)
        return simulate_scene(self.seed, number, resolution=self.resolution, size=self.size)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the layers that samples have.

        Of real ground the land use is not known, and without canopy heights not what a photo would show as a roof.
        """
        unknown = {GUIDE_LAYERS["mask"]} if self.ground else set()
        if self.ground and not self.ground.canopy:
            unknown.add(GUIDE_LAYERS["image"])
        return tuple(layer for layer in LAYERS if layer not in unknown)

    def layers(self, scene: Scene, number: int, *, wanted: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Layers of DFC30 by name (all, if not some are `wanted`), (bands, rows, columns).

        Heights are float32 in metres, all else is uint8; the orthophoto has three bands, all else one. A layer does not
        depend on what else is wanted.
        """
        names = self.kinds if wanted is None else tuple(wanted)
        dems = [name for name in names if name in DEM_LAYERS]
        layers: dict[str, NDArray[Any]] = {TRUTH: averaged(scene.inside(scene.terrain), scene.factor)[None]}
        if dems:
            layers |= elevation_models(scene, stream(self.seed, number, RADAR), names=dems, biased=self.biased)
        if GUIDE_LAYERS["canopy"] in names:
            chance = stream(self.seed, number, CANOPY_MAP)
            layers[GUIDE_LAYERS["canopy"]] = canopy_map(scene, chance, kind=self.canopy)
        if GUIDE_LAYERS["mask"] in names and scene.cover is not None:
            layers[GUIDE_LAYERS["mask"]] = _majority(LAND_USE[scene.inside(scene.cover)], scene.factor)[None]
        if GUIDE_LAYERS["image"] in names:
            layers[GUIDE_LAYERS["image"]] = photo(scene, stream(self.seed, number, PHOTO))
        return layers


def _majority(classes: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The class of most of each `factor` x `factor` pixels, the lowest of as many."""
    found = np.flatnonzero(np.bincount(classes.ravel())).astype(np.uint8)
    most: NDArray[np.uint8] = found[np.argmax([averaged(classes == number, factor) for number in found], axis=0)]
    return most


@dataclass(frozen=True)
class SimulatedSample:
    """Sample `number` of a simulation, made when it is read: in any process the same, and as its files would be read.

    `dem` is the layer that is upsampled, `guides` are the names of those wanted (image, mask, canopy), `others` the
    layers of other elevation models.
    """

    simulation: Simulation
    number: int
    dem: str = "COP30"
    guides: tuple[str, ...] = ("canopy",)
    others: tuple[str, ...] = ()
    city: str = NAME

    @property
    def id(self) -> str:
        """The number."""
        return str(self.number)

    @property
    def name(self) -> str:
        """City and id."""
        return f"{self.city}/{self.id}"

    def read(self) -> SamplePixels:
        """Make the scene, and what is seen of it."""
        scene = self.simulation.scene(self.number)
        wanted = (self.dem, *self.others, *(GUIDE_LAYERS[guide] for guide in self.guides))
        layers = self.simulation.layers(scene, self.number, wanted=wanted)
        return SamplePixels(
            dem=layers[self.dem],
            truth=layers[TRUTH],
            guides={guide: layers[GUIDE_LAYERS[guide]].astype(np.float32) for guide in self.guides},
            others={layer: layers[layer] for layer in self.others},
        )
