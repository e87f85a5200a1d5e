"""Known weights: those that come with the package and those that the paper's authors released (free of torch)."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import platformdirs

from jspsr_models.info import WeightsInfo, default_height_range

# Folder of everything that is cached, in place of the platform's own.
CACHE_VARIABLE = "JSPSR_CACHE"


def weights_dir() -> Path:
    """Return the folder of pulled weights (it need not exist)."""
    cache = os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("jspsr", appauthor=False)
    return Path(cache) / "weights"


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """Weights known by name.

    Args:
        info: what they are; `info.sha256` is empty where the publisher gives none, and then recorded in the
            cache on first use.
        drive_id: file on the publisher's public drive, or None if the weights come with the package.
        package_file: path inside the package, or None if they are pulled.
        rmse: published error on the validation cities, in metres.
        psnr: published peak signal-to-noise ratio there, in dB.
    """

    info: WeightsInfo
    drive_id: str | None = None
    package_file: str | None = None
    rmse: float | None = None
    psnr: float | None = None

    @property
    def path(self) -> Path:
        """Where the file lies, or will lie once pulled."""
        if self.package_file is not None:
            return Path(__file__).parent / self.package_file
        return weights_dir() / f"{self.info.name}.pt"


def _released(
    name: str, drive_id: str, *, inputs: tuple[str, ...], resolution: float, rmse: float, psnr: float
) -> WeightsEntry:
    info = WeightsInfo(
        name=name,
        sha256="",
        inputs=inputs,
        num_feature=32,
        resolution=float(resolution),
        height_range=default_height_range(resolution),
        window=128,
        licence="no licence published by the authors; not redistributed",
        attribution="Cai & Wilson, Remote Sensing 2025, 17(21), 3591",
        trained_on=f"DFC30, 13 French cities: Copernicus GLO-30 to RGE ALTI at {resolution:g} m",
        simulated=False,
    )
    return WeightsEntry(info=info, drive_id=drive_id, rmse=rmse, psnr=psnr)


def _starter(
    name: str, sha256: str, *, inputs: tuple[str, ...], resolution: float, trained_on: str, accuracy: str
) -> WeightsEntry:
    info = WeightsInfo(
        name=name,
        sha256=sha256,
        inputs=inputs,
        num_feature=8,
        resolution=float(resolution),
        height_range=default_height_range(resolution),
        window=128,
        licence="Apache-2.0",
        attribution="jspsr; trained among others on Bilbao: PNOA-LiDAR, IGN Spain, CC BY 4.0",
        trained_on=trained_on,
        simulated=True,
        accuracy=accuracy,
    )
    return WeightsEntry(info=info, package_file=f"starters/{name}.safetensors")


# What `enhance` takes where no weights are named: made as configs/README.md says, judged by benchmarks/starters.py.
_STARTERS = (
    _starter(
        "starter-8m-canopy",
        "bcdf9d2281311aaf10450cd760f817c6688a45836f064b2eeb41f16111ecdaec",
        inputs=("canopy",),
        resolution=8,
        trained_on=(
            "3,600 simulated scenes of 1 km and Bilbao under simulated sensors: COP30 and canopy map to terrain at 8 m"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with an exact canopy map / "
            "with one as wrong as the global one. Alexandria 3.11: 1.14 / 1.28. Autzen 1.79: 1.15 / 1.30. Forest "
            "strip 8.71: 1.55 / 2.56. Plouezoch 2.28: 1.11 / 1.17. Marans 1.48: 0.66 / 0.72. Simulated scenes "
            "4.19: 1.09 / 1.33"
        ),
    ),
    _starter(
        "starter-8m-image-canopy",
        "cf4ad0215c8b9095982831fd7658276225b13cf039cc021efebd138876de5b3e",
        inputs=("image", "canopy"),
        resolution=8,
        trained_on=(
            "3,600 simulated scenes of 1 km and Bilbao under simulated sensors: COP30, orthophoto and canopy map "
            "to terrain at 8 m"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with an exact canopy map / "
            "with one as wrong as the global one. Autzen 1.66: 1.04 / 1.10. Simulated scenes 3.04: 0.96 / 1.10"
        ),
    ),
    _starter(
        "starter-8m-image",
        "4cc411c372c678312a0eec5df8ae091c41407fcc359eeb1dd44256d9a46181fe",
        inputs=("image",),
        resolution=8,
        trained_on=(
            "3,600 simulated scenes of 1 km and Bilbao under simulated sensors: COP30 and orthophoto to terrain at "
            "8 m; begun with starter-8m-image-canopy"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with the photo. Autzen 1.66: 1.29. "
            "Simulated scenes 3.04: 1.33"
        ),
    ),
    _starter(
        "starter-3m-canopy",
        "e9323c1ea4379e84db2b89447af601a33649098f4d7c38808340bced95f634f1",
        inputs=("canopy",),
        resolution=3,
        trained_on=(
            "2,700 simulated scenes of 384 m and Bilbao under simulated sensors: COP30 and canopy map to terrain at "
            "3 m; begun with starter-8m-canopy"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with an exact canopy map / "
            "with one as wrong as the global one. Alexandria 3.09: 1.14 / 1.26. Autzen 1.80: 1.01 / 1.08. Forest "
            "strip 8.75: 1.71 / 2.30. Plouezoch 2.35: 1.12 / 1.20. Marans 1.49: 0.77 / 0.81. Simulated scenes "
            "3.86: 1.29 / 1.70"
        ),
    ),
    _starter(
        "starter-3m-image-canopy",
        "e43098c1ad678639f459f3d89358f79ff5aac1a95e9548720349325027ec0e59",
        inputs=("image", "canopy"),
        resolution=3,
        trained_on=(
            "2,700 simulated scenes of 384 m and Bilbao under simulated sensors: COP30, orthophoto and canopy map to "
            "terrain at 3 m; begun with starter-8m-image-canopy"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with an exact canopy map / "
            "with one as wrong as the global one. Autzen 1.80: 1.02 / 1.04. Simulated scenes 3.86: 1.35 / 1.60"
        ),
    ),
    _starter(
        "starter-3m-image",
        "0ae8e4a66a988e345c17f0d11be13298a4c3b5915c1d57ef4b8b8f7c8b519692",
        inputs=("image",),
        resolution=3,
        trained_on=(
            "2,700 simulated scenes of 384 m and Bilbao under simulated sensors: COP30 and orthophoto to terrain at "
            "3 m; begun with starter-8m-image"
        ),
        accuracy=(
            "RMSE in metres under simulated COP30 without tile-wide bias, bicubic: with the photo. Autzen 1.80: 0.97. "
            "Simulated scenes 3.86: 1.55"
        ),
    ),
)

# The checkpoints released by the paper's authors, with the figures they publish.
_ENTRIES = (
    _released(
        "jspsr-8m-image",
        "1zjz-iz4hs5A0LI-BzXdfSC0NUryl3JIi",
        inputs=("image",),
        resolution=8,
        rmse=1.1087,
        psnr=58.4640,
    ),
    _released(
        "jspsr-8m-image-mask",
        "17JdRqSP6mwAg5iQzwB2vs5KY6g3toSgB",
        inputs=("image", "mask"),
        resolution=8,
        rmse=1.0741,
        psnr=58.7396,
    ),
    _released(
        "jspsr-3m-image",
        "1vDUA6iQYkVGasI5zYsAmCWOZd-SYqh3_",
        inputs=("image",),
        resolution=3,
        rmse=1.1197,
        psnr=58.4157,
    ),
    _released(
        "jspsr-3m-image-mask",
        "1idGvgDARTF_mTjTWMj78jGcnk3DrcuEy",
        inputs=("image", "mask"),
        resolution=3,
        rmse=1.1150,
        psnr=58.4524,
    ),
)
REGISTRY = MappingProxyType({entry.info.name: entry for entry in (*_STARTERS, *_ENTRIES)})
