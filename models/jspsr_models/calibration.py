"""How far off heights are where predictions of flipped and turned windows lie so far apart (free of torch)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jspsr_models.info import WeightsInfo


@dataclass(frozen=True)
class Calibration:
    """The standard error of a height, sqrt(floor^2 + (factor * spread^power)^2), and what it was fitted on, in words.

    `floor`, spread and standard error are in metres; `power` is below 1 where large spreads say less than small ones.
    It holds for pixels of `resolution` metres, windows of `window` pixels that overlap by the share `overlap`, and
    elevation models of `product`, as `jspsr_cli.raster.products` calls it.
    """

    floor: float
    factor: float
    power: float
    fitted_on: str
    resolution: float
    window: int
    overlap: float
    product: str


def _starter(floor: float, factor: float, power: float, *, resolution: float, canopy: bool = True) -> Calibration:
    """That of a starter, by benchmarks/uncertainty.py."""
    return Calibration(
        floor,
        factor,
        power,
        fitted_on="simulated scenes without tile-wide bias" + ", with a canopy map as wrong as the global one" * canopy,
        resolution=resolution,
        window=128,
        overlap=0.1875,
        product="Copernicus DEM",
    )


# By SHA-256 of the weights, so that it goes with them wherever they lie, and not with others of the same name.
CALIBRATIONS: Mapping[str, Calibration] = MappingProxyType(
    {
        # starter-8m-canopy
        "bcdf9d2281311aaf10450cd760f817c6688a45836f064b2eeb41f16111ecdaec": _starter(0.31, 3.19, 0.6, resolution=8.0),
        # starter-8m-image-canopy
        "cf4ad0215c8b9095982831fd7658276225b13cf039cc021efebd138876de5b3e": _starter(0.0, 3.29, 0.62, resolution=8.0),
        # starter-8m-image
        "4cc411c372c678312a0eec5df8ae091c41407fcc359eeb1dd44256d9a46181fe": _starter(
            0.66, 4.87, 0.82, resolution=8.0, canopy=False
        ),
        # starter-3m-canopy
        "e9323c1ea4379e84db2b89447af601a33649098f4d7c38808340bced95f634f1": _starter(0.68, 3.21, 0.72, resolution=3.0),
        # starter-3m-image-canopy
        "e43098c1ad678639f459f3d89358f79ff5aac1a95e9548720349325027ec0e59": _starter(0.65, 2.69, 0.56, resolution=3.0),
        # starter-3m-image
        "0ae8e4a66a988e345c17f0d11be13298a4c3b5915c1d57ef4b8b8f7c8b519692": _starter(
            0.66, 3.67, 0.93, resolution=3.0, canopy=False
        ),
    }
)


def calibration_of(info: WeightsInfo) -> Calibration | None:
    """What is known of the errors of these weights, or None."""
    return CALIBRATIONS.get(info.sha256)
