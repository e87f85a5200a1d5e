"""What `jspsr enhance` costs beside its network: time, CPU and peak memory on a generated scene.

    python benchmarks/run.py [--quick] [--pixels N] [--features F]... [--repeat N] [--json]

The whole command and the bare network on the same windows run in turn, each in a process of its own, and medians
are reported. On a machine with other work the CPU figures are the steadier ones.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.scene import GUIDE_METRES, make_dem, make_guide

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
    """What a process took: seconds of wall clock, seconds of CPU (user and system), peak resident bytes."""

    wall: float
    cpu: float
    peak: int
    stdout: str


@dataclass(frozen=True)
class Result:
    """The command and the bare network at one width; seconds, bytes, windows."""

    features: int
    wall: float
    cpu: float
    peak: int
    network_wall: float
    network_cpu: float
    windows: int
    batch: int
    window: int
    threads: int


def measure(arguments: list[str]) -> Usage:
    """Run a Python process to its end. A failure ends the benchmark."""
    start = time.perf_counter()
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
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak, stdout)


def compare(paths: list[str], *, features: int, repeat: int) -> Result:
    """The command against the bare network; `paths` are those of DEM, guide and weights."""
    measure(["-c", MAKE_WEIGHTS, str(features), paths[2]])
    output = f"{paths[2]}.out.tif"
    command = ["-m", "jspsr_cli", "enhance", paths[0], "--guide", paths[1], "--weights", paths[2]]
    command += ["-o", output, "--device", "cpu", "--overwrite", "--json", "--quiet"]
    whole, bare = [], []
    for _ in range(repeat):
        whole.append(measure(command))
        bare.append(json.loads(measure(["-m", "benchmarks.parts", "network", *paths]).stdout))
    assert json.loads(whole[0].stdout)["windows"] == bare[0]["windows"]
    return Result(
        features,
        wall=statistics.median(run.wall for run in whole),
        cpu=statistics.median(run.cpu for run in whole),
        peak=max(run.peak for run in whole),
        network_wall=statistics.median(run["times"]["network"][0] for run in bare),
        network_cpu=statistics.median(run["times"]["network"][1] for run in bare),
        **{key: bare[0][key] for key in ("windows", "batch", "window", "threads")},
    )


def stage_times(paths: list[str], *, repeat: int) -> dict[str, Any]:
    """Median seconds (wall clock, CPU) of each stage of the road without its network."""
    runs = [json.loads(measure(["-m", "benchmarks.parts", "road", *paths]).stdout)["times"] for _ in range(repeat)]
    return {stage: [statistics.median(run[stage][i] for run in runs) for i in (0, 1)] for stage in runs[0]}


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


def report(results: list[Result], stages: dict[str, Any], *, pixels: int, repeat: int, on: dict[str, Any]) -> str:
    """All figures as aligned text."""
    first = results[0]
    packages = ", ".join(f"{package} {on[package]}" for package in ("torch", "rasterio", "numpy"))
    lines = [
        f"machine  {on['cores']} x {on['cpu']}, {first.threads} threads, load {on['load']} at the start",
        f"software {on['system']}, jspsr {on['jspsr']}, {packages}",
        f"scene    guide {pixels} x {pixels} pixels at {GUIDE_METRES:g} m, output at 8 m, {first.windows} windows of "
        f"{first.window} x {first.window}, {first.batch} at a time",
        f"figures  medians of {repeat}; seconds, peak resident memory in MB",
        "",
        f"{'':4}{'whole command':>24}{'':4}{'bare network':>16}{'':4}{'command / network':>18}",
        f"{'F':>4}{'wall':>8}{'CPU':>8}{'peak':>8}{'':4}{'wall':>8}{'CPU':>8}{'':4}{'wall':>9}{'CPU':>9}",
    ]
    for r in results:
        lines.append(
            f"{r.features:>4}{r.wall:>8.1f}{r.cpu:>8.1f}{r.peak / 1e6:>8.0f}{'':4}{r.network_wall:>8.1f}"
            f"{r.network_cpu:>8.1f}{'':4}{r.wall / r.network_wall:>9.3f}{r.cpu / r.network_cpu:>9.3f}"
        )
    shares = "".join(f"{f'F = {r.features}':>10}" for r in results)
    lines += ["", f"{'without the network':<36}{'wall':>8}{'CPU':>8}    share of the command's CPU at{shares}"]
    for stage, (wall, cpu) in stages.items():
        shares = "".join(f"{cpu / r.cpu:>10.1%}" for r in results)
        lines.append(f"{stage:<36}{wall:>8.2f}{cpu:>8.2f}{'':33}{shares}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of `jspsr enhance` beside its network.")
    parser.add_argument("--quick", action="store_true", help="a scene of 1000 x 1000 pixels, F = 4: half a minute")
    parser.add_argument("--pixels", type=int, help="side of the 2 m guide (default 4000)")
    parser.add_argument("--features", type=int, action="append", help="width of the network (default 8 and 32)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is taken")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args()
    pixels = asked.pixels or (1000 if asked.quick else 4000)
    features = asked.features or ([4] if asked.quick else [8, 32])
    on = machine()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [str(make_dem(folder / "cop30.tif", side=pixels)), str(make_guide(folder / "ortho.tif", side=pixels))]
        for width in features:
            paths[2:] = [str(folder / f"identity-{width}.safetensors")]
            results.append(compare(paths, features=width, repeat=asked.repeat))
        stages = stage_times(paths, repeat=asked.repeat)
    if asked.json:
        figures = {"machine": on, "pixels": pixels, "results": [asdict(r) for r in results], "stages": stages}
        print(json.dumps(figures, indent=1))
    else:
        print(report(results, stages, pixels=pixels, repeat=asked.repeat, on=on))


if __name__ == "__main__":
    main()
