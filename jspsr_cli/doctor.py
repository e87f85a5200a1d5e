"""What this machine has and lacks for jspsr, each problem with its remedy.

Libraries are imported by the checks that need them: one that cannot be imported is a finding too.
"""

import hashlib
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from jspsr_cli import __version__
from jspsr_cli.extras import EXTRAS, missing_modules
from jspsr_models.errors import WeightsError
from jspsr_models.registry import CACHE_VARIABLE, REGISTRY, WeightsEntry, weights_dir
from jspsr_models.weights import recorded_sha256

#: good; good, but something is left out; something will fail
State = Literal["ok", "note", "problem"]

# Everything that heights and places go through.
PACKAGES = ("torch", "numpy", "scipy", "rasterio", "pyproj", "shapely", "pyogrio", "rio-tiler", "safetensors", "click")

# GDAL drivers that nothing works without, and what others are for.
NEEDED_DRIVERS = ("GTiff", "COG", "VRT", "MEM")
OTHER_DRIVERS = {"JP2OpenJPEG": "JPEG 2000 orthophotos", "HTTP": "inputs by their address", "netCDF": "NetCDF inputs"}
VECTOR_DRIVERS = {"GPKG": "GeoPackage", "GeoJSON": "GeoJSON", "ESRI Shapefile": "Shapefile"}

# Vertical datums of the DEMs and of usual wishes, each with the grid that PROJ needs.
DATUMS = {
    "EGM2008 (COP30, FABDEM)": ("EPSG:4326+3855", "us_nga_egm08_25.tif"),
    "EGM96 (SRTM)": ("EPSG:4326+5773", "us_nga_egm96_15.tif"),
    "NAVD88 (USA)": ("EPSG:6318+5703", "us_noaa_g2018u0.tif"),
}
ELLIPSOID = "EPSG:4979"

# Set by another GIS on the machine, they lead this one to data of the wrong version.
FOREIGN_VARIABLES = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH")

# A window of 128 pixels at F = 32 with its batch, and a degree square at 8 m with its rows, in bytes.
LEAST_MEMORY, LEAST_DISK = 2e9, 5e9

REINSTALL = "Install jspsr into a new environment with -c constraints.txt; report it if that does not help."

# What is said of files of weights.
ABSENT, CHANGED = "not here", "changed or damaged"

# One test of one thing. Whatever it raises is a finding too.
Check = Callable[[], Iterator["Finding"]]


@dataclass(frozen=True)
class Finding:
    """What was found of one thing; `remedy` where there is something to do."""

    topic: str
    name: str
    value: str
    state: State = "ok"
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything. Never raises: what fails is a finding."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check()
        except Exception as error:
            topic = check.__name__.removeprefix("_").replace("_", " ")
            found.append(Finding(topic, "examination", f"{type(error).__name__}: {error}", "problem", REINSTALL))
    return found


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "jspsr", __version__)
    yield Finding("versions", "python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        yield _version(package)
    for extra in EXTRAS:
        missing = missing_modules(extra)
        yield Finding(
            "versions", f"jspsr[{extra}]", f"without {', '.join(missing)}" if missing else "complete",
            "note" if missing else "ok", f"pip install 'jspsr[{extra}]', if you need it." if missing else "",
        )  # fmt: skip


def _version(package: str) -> Finding:
    try:
        return Finding("versions", package, version(package))
    except PackageNotFoundError:
        return Finding("versions", package, "missing", "problem", REINSTALL)


def _devices() -> Iterator[Finding]:
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    yield Finding(
        "devices", "cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}",
        "note" if threads else "ok", f"OMP_NUM_THREADS is {threads}: unset it to use all cores." if threads else "",
    )  # fmt: skip
    memory = _memory()
    if memory is not None:
        small = memory < LEAST_MEMORY
        yield Finding(
            "devices", "memory", f"{memory / 1e9:.1f} GB available", "note" if small else "ok",
            "Close other programs, or give --window 64 and --batch-size 1." if small else "",
        )  # fmt: skip
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        yield Finding(
            "devices", f"cuda:{number}",
            f"{torch.cuda.get_device_name(number)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free",
        )  # fmt: skip
    if torch.version.cuda and not torch.cuda.is_available():
        yield Finding(
            "devices", "cuda", f"torch is built for CUDA {torch.version.cuda}, and sees no GPU", "note",
            "Look at nvidia-smi: the driver may be missing, or older than that. Without a GPU all is well.",
        )  # fmt: skip
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "available")


def _memory() -> int | None:
    """Bytes that a new process can have, None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _formats() -> Iterator[Finding]:
    import pyogrio
    import rasterio

    yield Finding("formats", "GDAL", rasterio.__gdal_version__)
    with rasterio.Env() as env:
        drivers = env.drivers()
    for driver in NEEDED_DRIVERS:
        there = driver in drivers
        yield Finding(
            "formats", driver, "there" if there else "missing", "ok" if there else "problem",
            "" if there else "Install rasterio from its wheels: pip install --force-reinstall rasterio.",
        )  # fmt: skip
    vectors = pyogrio.list_drivers()
    for group, known in ((OTHER_DRIVERS, drivers), (VECTOR_DRIVERS, vectors)):
        for driver, use in group.items():
            there = driver in known
            yield Finding(
                "formats", driver, f"{'there' if there else 'missing'}: {use}", "ok" if there else "note",
                "" if there else "Convert such files first, or install GDAL with this driver.",
            )  # fmt: skip
    foreign = {name: os.environ[name] for name in FOREIGN_VARIABLES if os.environ.get(name)}
    for name, value in foreign.items():
        yield Finding("formats", name, value, "note", f"Unset {name} if coordinate systems or formats are not found.")


def _vertical_datums() -> Iterator[Finding]:
    import pyproj.network
    from pyproj.transformer import TransformerGroup

    yield Finding("vertical datums", "PROJ", f"{pyproj.proj_version_str}, data in {pyproj.datadir.get_data_dir()}")
    online = pyproj.network.is_network_enabled()  # type: ignore[attr-defined]
    yield Finding("vertical datums", "PROJ network", "on" if online else "off")
    for name, (code, grid) in DATUMS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the best way is not there, which is the finding
            group = TransformerGroup(ELLIPSOID, code, always_xy=True)
        there = bool(group.transformers) and group.best_available
        yield Finding(
            "vertical datums", name, "can be transformed" if there else "has no grid here", "ok" if there else "note",
            "" if there else f"For --vertical-crs: pyproj sync --file {grid}, or PROJ_NETWORK=ON.",
        )  # fmt: skip


def _folders() -> Iterator[Finding]:
    for name, folder, remedy in (
        ("this folder", Path.cwd(), "Give outputs a folder that you may write to, with -o."),
        ("temporary files", Path(os.environ.get("TMPDIR") or tempfile.gettempdir()), "Set TMPDIR to another folder."),
        ("cache", weights_dir().parent, f"Set {CACHE_VARIABLE} to a folder that you may write to."),
    ):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        usable = os.access(there, os.W_OK | os.X_OK) and (there == folder or name == "cache")
        free = shutil.disk_usage(there).free
        full = free < LEAST_DISK
        yield Finding(
            "folders", name, f"{folder}, {free / 1e9:.0f} GB free" if usable else f"{folder} cannot be written to",
            "problem" if not usable else "note" if full else "ok",
            remedy if not usable else "A degree square at 8 m needs some 5 GB." if full else "",
        )  # fmt: skip


def _weights() -> Iterator[Finding]:
    for name, entry in REGISTRY.items():
        again = "Install jspsr again." if entry.package_file else f"Delete {entry.path}, and pull {name} again."
        try:
            value = _state_of(entry)
        except (OSError, WeightsError) as error:
            yield Finding("weights", name, str(error), "problem", again)
            continue
        bad = value == CHANGED or (value == ABSENT and entry.package_file is not None)
        yield Finding("weights", name, value, "problem" if bad else "ok", again if bad else "")


def _state_of(entry: WeightsEntry) -> str:
    if not entry.path.exists():
        return ABSENT
    with entry.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"here, {digest[:12]}…" if recorded_sha256(entry.path, entry) in ("", digest) else CHANGED


CHECKS: tuple[Check, ...] = (_versions, _devices, _formats, _vertical_datums, _folders, _weights)
