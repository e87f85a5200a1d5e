"""What is asked of `prepare`, and what can be told of it before a file is opened."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.errors import InvalidOption, OutputExists
from jspsr_cli.limits import DEFAULT_RESOLUTION, WINDOW_STEP
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.types import Bounds

# Those that say how rasters are cut and read, which a folder of samples settles itself.
FOR_RASTERS = ("crs", "bounds", "guide_bands", "stretch")


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a set is made; each field is an option of the same name. Lengths in metres, `size` in pixels."""

    name: str | None = None
    resolution: float = DEFAULT_RESOLUTION
    size: int | None = None
    crs: str | None = None
    bounds: Bounds | None = None
    guide_bands: Sequence[int] | None = None
    stretch: tuple[float, float] | None = None
    voids: float = 0.0
    valid_share: float | None = None
    match_datum: bool = False
    terrain_datum: str | None = None
    simulated: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"\w[\w.+-]*", self.name):
            raise InvalidOption(f"--name {self.name[:80]!r} is no name of a folder: letters, digits and .+-_ are.")
        if self.size is not None and self.size < WINDOW_STEP:
            raise InvalidOption(f"A sample has at least {WINDOW_STEP} pixels a side, which the network sees at once.")
        if not 0 <= self.voids < 1 or not 0 <= (self.valid_share or 0) <= 1:
            raise InvalidOption("--voids is a share from 0 to below 1, and --valid-share one from 0 to 1.")


def check_prepare(source: Path | None, layers: Collection[str], options: PrepareOptions, *, output: Path) -> None:
    """Raise InvalidOption unless either a folder `source` is given, or rasters for `layers` that make a set.

    Raises OutputExists where `source` is `output`, too.
    """
    if (source is None) == (not layers):
        raise InvalidOption("Give either a folder of samples, or --terrain with --dem or --fabdem and guides.")
    if source is not None:
        if source.resolve() == output.resolve():
            raise OutputExists(f"{output} holds the samples that the set is made of: give another --output.")
        unused = [key for key in FOR_RASTERS if getattr(options, key) is not None]
        if unused:
            option = unused[0].replace("_", "-")
            raise InvalidOption(f"--{option} is for rasters of your own, not for a folder of samples.")
        return
    if TRUTH not in layers or not {"COP30", "FABDEM"} & {*layers}:
        raise InvalidOption("A terrain model (--terrain) and a DEM (--dem or --fabdem) are needed.")
    if not {*GUIDE_LAYERS.values()} & {*layers}:
        raise InvalidOption("A guide is needed, since the network learns from one: --guide, --mask or --canopy.")
