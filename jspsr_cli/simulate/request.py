"""What is asked of `simulate`."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jspsr_cli.errors import InvalidOption
from jspsr_cli.simulate.canopymap import CanopyKind
from jspsr_cli.simulate.real import RealGround
from jspsr_cli.simulate.views import NAME, Simulation
from jspsr_cli.training.places import side_of

# Pixels that fields and houses still show in.
LEAST_RESOLUTION, MOST_RESOLUTION = 2.0, 12.0

Paths = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """What is simulated; each field is an option of the same name. See `Simulation`."""

    scenes: int = 100
    seed: int = 0
    resolution: float = 8.0
    size: int | None = None
    name: str = NAME
    canopy_map: CanopyKind | None = None
    bias: bool = True
    workers: int = 1
    overwrite: bool = False


def simulation_of(options: SimulateOptions, *, terrain: Paths, surface: Paths, canopy: Paths) -> Simulation:
    """What `options` mean, on real ground where files of it are given.

    Raises:
        InvalidOption: they cannot work.
    """
    if not LEAST_RESOLUTION <= options.resolution <= MOST_RESOLUTION:
        raise InvalidOption(
            f"Scenes are simulated at {LEAST_RESOLUTION:g} to {MOST_RESOLUTION:g} m, not at {options.resolution:g} m: "
            "choose the resolution of the weights that you train, 8 or 3."
        )
    if not re.fullmatch(r"\w[\w.+-]*", options.name) or options.name.endswith("_valid"):
        raise InvalidOption(f"--name {options.name[:80]!r} is no name of a folder: letters, digits and .+-_ are.")
    size = side_of(options.resolution, options.size)
    return Simulation(
        seed=options.seed,
        resolution=options.resolution,
        size=size,
        ground=_ground(terrain, surface, canopy),
        canopy=options.canopy_map,
        biased=options.bias,
    )


def _ground(terrain: Paths, surface: Paths, canopy: Paths) -> RealGround | None:
    if not (terrain or surface or canopy):
        return None
    if not (terrain and surface):
        raise InvalidOption("Real ground needs both a terrain model (--terrain) and a surface model (--surface).")
    return RealGround(*(tuple(os.fspath(path) for path in paths) for paths in (terrain, surface, canopy)))
