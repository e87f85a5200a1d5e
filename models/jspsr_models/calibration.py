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


def _starter(floor: float, factor: float, power: float, *, resolution: float) -> Calibration:
    """That of a starter, by benchmarks/uncertainty.py."""
    return Calibration(
        floor,
        factor,
        power,
        fitted_on="simulated scenes without tile-wide bias, with a canopy map as wrong as the global one",
        resolution=resolution,
        window=128,
        overlap=0.1875,
        product="Copernicus DEM",
    )


# By SHA-256 of the weights, so that it goes with them wherever they lie, and not with others of the same name.
CALIBRATIONS: Mapping[str, Calibration] = MappingProxyType(
    {
        # starter-8m-canopy
        "bcfe83e398449763ebd85058d54c12d1ec5ff803d28a162ebeb8063b7b58ac40": _starter(0.31, 3.19, 0.6, resolution=8.0),
        # starter-8m-image-canopy
        "c1e7174c9858cf739a98b782cedbf58bdc3d79c045bf945904a7b0bc49e79d85": _starter(0.0, 3.29, 0.62, resolution=8.0),
        # starter-3m-image-canopy
        "92bcd64f5f429d2b1468477ed5cdc1762a6a78afca6e102e4c9c0138a3d4687e": _starter(0.65, 2.69, 0.56, resolution=3.0),
        # starter-3m-canopy
        "6c4aa3a82868df594708205c9970498ed1d6c3ad8866587c5517c554724d872f": _starter(0.68, 3.21, 0.72, resolution=3.0),
    }
)


def calibration_of(info: WeightsInfo) -> Calibration | None:
    """What is known of the errors of these weights, or None."""
    return CALIBRATIONS.get(info.sha256)
