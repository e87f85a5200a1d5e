"""How good the estimates of `jspsr enhance --dry-run` are: seconds and peak memory beside those of the run itself.

    python benchmarks/estimates.py [--pixels N]... [--features F]... [--threads N] [--repeat N] [--json]

Each command runs in a process of its own, on generated scenes, with weights that change nothing. The time is that which
the run reports, so without the start of Python.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import make_weights, measure
from benchmarks.scene import GUIDE_METRES, make_scene

METRES = 8


def compare(folder: Path, *, pixels: int, features: int, repeat: int) -> dict[str, Any]:
    """What was expected of a run, and what it was: medians of `repeat`, in turn; `pixels` of the output."""
    side = round(pixels * METRES / GUIDE_METRES)
    weights = make_weights(folder, features)
    dem, guide = make_scene(folder, width=side, height=side)
    command = ["-m", "jspsr_cli", "enhance", dem, "--guide", guide, "--weights", weights, "--json"]
    command += ["-o", str(folder / "out.tif"), "--overwrite", "--device", "cpu", "--quiet"]
    found = []
    for _ in range(repeat):
        trial, run = measure([*command, "--dry-run"]), measure(command)
        expected, report = json.loads(trial.stdout), json.loads(run.stdout)
        assert expected["windows_at_most"] == report["windows"]
        found.append((trial.wall, expected["seconds"], report["seconds"], expected["memory_bytes"], run.peak))
    names = ("dry run", "expected seconds", "seconds", "expected bytes", "bytes")
    medians = {name: statistics.median(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}
    return {"pixels": pixels, "features": features, "windows": report["windows"], **medians}


def table(results: list[dict[str, Any]]) -> str:
    """All figures as aligned text."""
    pair = f"{'expected':>12}{'run':>8}{'ratio':>8}"
    lines = [
        f"{'':30}{'seconds':>28}{'peak memory in MB':>28}",
        f"{'pixels':>8}{'F':>4}{'windows':>8}{'dry run':>10}{pair}{pair}",
    ]
    for r in results:
        seconds, memory = (r["expected seconds"], r["seconds"]), (r["expected bytes"] / 1e6, r["bytes"] / 1e6)
        pairs = [f"{expected:>12.1f}{was:>8.1f}{expected / was:>8.2f}" for expected, was in (seconds, memory)]
        lines.append(f"{r['pixels']:>8}{r['features']:>4}{r['windows']:>8}{r['dry run']:>10.1f}{''.join(pairs)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, action="append", help="side of the output (default 500, 1000 and 2000)")
    parser.add_argument("--features", type=int, action="append", help="width of the network (default 8 and 32)")
    parser.add_argument("--threads", type=int, help="of the network (default as torch has them)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is taken")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args()
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        results = [
            compare(Path(folder), pixels=pixels, features=features, repeat=asked.repeat)
            for pixels in asked.pixels or (500, 1000, 2000)
            for features in asked.features or (8, 32)
        ]
    print(json.dumps(results, indent=1) if asked.json else table(results))


if __name__ == "__main__":
    main()
