"""Python processes and what they take, and what the machine is."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

MAKE_WEIGHTS = """
import sys
from jspsr_models import WeightsInfo, identity_checkpoint, save_network
features = int(sys.argv[1])
info = WeightsInfo(name=f"identity-{features}", sha256="", inputs=("image",), num_feature=features, resolution=8.0)
save_network(identity_checkpoint(num_feature=features), sys.argv[2], info)
"""


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds of wall clock, seconds of CPU (user and system), peak resident bytes.

    `started` is when, in seconds since the epoch.
    """

    started: float
    wall: float
    cpu: float
    peak: int
    stdout: str


def measure(arguments: list[str]) -> Usage:
    """Run a Python process to its end. A failure ends the benchmark."""
    started, start = time.time(), time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    with process.stdout:
        stdout = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(arguments[:4])} ... failed with exit code {process.returncode}")
    # Linux counts in KiB, macOS in bytes. A child begins with its parent's peak, so no torch is imported here.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Usage(started, wall, usage.ru_utime + usage.ru_stime, peak, stdout)


def make_weights(folder: Path, features: int) -> str:
    """Write weights for an orthophoto that change nothing, and cost what trained ones do; return their path."""
    path = folder / f"identity-{features}.safetensors"
    measure(["-c", MAKE_WEIGHTS, str(features), str(path)])
    return str(path)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    versions = {package: version(package) for package in ("jspsr", "torch", "rasterio", "numpy")}
    system = f"{platform.system()}, Python {platform.python_version()}"
    return {"cpu": name, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "system": system, **versions}


def said(on: dict[str, Any]) -> str:
    """`machine()` in two lines."""
    packages = ", ".join(f"{package} {on[package]}" for package in ("jspsr", "torch", "rasterio", "numpy"))
    return f"machine  {on['cores']} x {on['cpu']}, load {on['load']} at the start\nsoftware {on['system']}, {packages}"
