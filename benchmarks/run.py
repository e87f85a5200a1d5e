"""What `jspsr enhance` costs beside its network: time, CPU and peak memory on generated scenes, and as they grow.

    python benchmarks/run.py [--quick] [--pixels N | WIDTHxHEIGHT]... [--features F]... [--repeat N] [--json]

The whole command, and the bare network on the same windows as the command runs it, take turns, each in a process of
its own, and medians are reported. `share` is that of the network in the time of the command. `computed` are pixels
computed for one that is written: windows overlap, and reach beyond the edges. `first` are the seconds from the start
of a process until its first batch of windows is predicted, which it notes when `enhance` reports its progress. On a
machine with other work the CPU figures are the steadier ones.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import machine, make_weights, measure, said
from benchmarks.scene import GUIDE_METRES, make_scene


@dataclass(frozen=True)
class Result:
    """The command and the bare network on a guide of `width` x `height` pixels; seconds, bytes, windows."""

    width: int
    height: int
    features: int
    wall: float
    cpu: float
    peak: int
    network_wall: float
    network_cpu: float
    first: float
    first_cpu: float
    computed: float
    windows: int
    batch: int
    window: int
    threads: int


def compare(paths: list[str], *, size: tuple[int, int], features: int, repeat: int) -> Result:
    """The command against the bare network; `paths` are those of DEM, guide and weights."""
    output = f"{paths[2]}.out.tif"
    command = ["-m", "jspsr_cli", "enhance", paths[0], "--guide", paths[1], "--weights", paths[2]]
    command += ["-o", output, "--device", "cpu", "--overwrite", "--json", "--quiet"]
    whole, bare, first = [], [], []
    for _ in range(repeat):
        whole.append(measure(command))
        bare.append(json.loads(measure(["-m", "benchmarks.parts", "network", *paths]).stdout))
        begun = measure(["-m", "benchmarks.parts", "first", *paths])
        reached = json.loads(begun.stdout)
        first.append((reached["at"] - begun.started, reached["cpu"]))
    report = json.loads(whole[0].stdout)
    assert report["windows"] == bare[0]["windows"]
    return Result(
        *size,
        features,
        wall=statistics.median(run.wall for run in whole),
        cpu=statistics.median(run.cpu for run in whole),
        peak=max(run.peak for run in whole),
        network_wall=statistics.median(run["times"]["network"][0] for run in bare),
        network_cpu=statistics.median(run["times"]["network"][1] for run in bare),
        first=statistics.median(wall for wall, _ in first),
        first_cpu=statistics.median(cpu for _, cpu in first),
        computed=report["windows"] * bare[0]["window"] ** 2 / report["pixels_written"],
        **{key: bare[0][key] for key in ("windows", "batch", "window", "threads")},
    )


def stage_times(paths: list[str], *, repeat: int) -> dict[str, Any]:
    """Median seconds (wall clock, CPU) of each stage of the road without its network."""
    runs = [json.loads(measure(["-m", "benchmarks.parts", "road", *paths]).stdout)["times"] for _ in range(repeat)]
    return {stage: [statistics.median(run[stage][i] for run in runs) for i in (0, 1)] for stage in runs[0]}


def report(results: list[Result], stages: dict[str, Any], *, repeat: int, on: dict[str, Any]) -> str:
    """All figures as aligned text; the stages are those of the first scene."""
    first = results[0]
    lines = [
        said(on),
        f"scenes   guides at {GUIDE_METRES:g} m, outputs at 8 m, windows of {first.window} x {first.window}, "
        f"{first.batch} at a time, {first.threads} threads",
        f"figures  medians of {repeat}; seconds, peak resident memory in MB",
        "",
        f"{'':25}{'whole command':>23}{'bare network':>17}{'share':>16}{'':10}{'first':>14}",
        f"{'F':>4}{'guide':>13}{'windows':>8}{'wall':>8}{'CPU':>8}{'peak':>7}{'wall':>9}{'CPU':>8}{'wall':>8}{'CPU':>8}"
        f"{'computed':>10}{'wall':>7}{'CPU':>7}",
    ]
    for r in results:
        lines.append(
            f"{r.features:>4}{f'{r.width} x {r.height}':>14}{r.windows:>7}{r.wall:>8.1f}{r.cpu:>8.1f}"
            f"{r.peak / 1e6:>7.0f}{r.network_wall:>9.1f}{r.network_cpu:>8.1f}{r.network_wall / r.wall:>8.1%}"
            f"{r.network_cpu / r.cpu:>8.1%}{r.computed:>10.2f}{r.first:>7.1f}{r.first_cpu:>7.1f}"
        )
    alike = [r for r in results if (r.width, r.height) == (first.width, first.height)]
    shares = "".join(f"{f'F = {r.features}':>10}" for r in alike)
    lines += ["", f"{'without the network':<36}{'wall':>8}{'CPU':>8}    share of the command's CPU at{shares}"]
    for stage, (wall, cpu) in stages.items():
        shares = "".join(f"{cpu / r.cpu:>10.1%}" for r in alike)
        lines.append(f"{stage:<36}{wall:>8.2f}{cpu:>8.2f}{'':33}{shares}")
    return "\n".join(lines)


def size_of(text: str) -> tuple[int, int]:
    """Width and height from N or WIDTHxHEIGHT."""
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a scene of 1000 x 1000 pixels, F = 4: half a minute")
    parser.add_argument("--pixels", type=size_of, action="append", help="of the 2 m guide (default 2000, 4000, 8000)")
    parser.add_argument("--features", type=int, action="append", help="width of the network (default 8 and 32)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is taken")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args()
    sizes = asked.pixels or [(n, n) for n in ((1000,) if asked.quick else (2000, 4000, 8000))]
    features = asked.features or ([4] if asked.quick else [8, 32])
    on = machine()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width in features:
            weights = make_weights(folder, width)
            for size in sizes:
                paths = [*make_scene(folder, width=size[0], height=size[1]), weights]
                results.append(compare(paths, size=size, features=width, repeat=asked.repeat))
        stages = stage_times([*make_scene(folder, width=sizes[0][0], height=sizes[0][1]), weights], repeat=asked.repeat)
    if asked.json:
        print(json.dumps({"machine": on, "results": [asdict(r) for r in results], "stages": stages}, indent=1))
    else:
        print(report(results, stages, repeat=asked.repeat, on=on))


if __name__ == "__main__":
    main()
