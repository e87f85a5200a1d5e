"""Windows and overlaps: what they do to the heights, and what they cost.

    python benchmarks/windows.py WEIGHTS... [--scenes N] [--hill METRES] [--site NAME TERRAIN SURFACE [canopy=FILE] ...]
    python benchmarks/windows.py --cost [--features F]... [--pixels N] [--batch N]

Both take --window N and --overlap SHARE, several times each: all pairs of them.

Heights: RMSE against the terrain in metres of simulated scenes that no weights have seen, and of real sites under a
simulated COP30, with a canopy map as wrong as the global one. Of scenes the outer 64 pixels are not judged: what lies
beyond them is mirrored, which few windows of a large raster see. `seams` is RMSE within 8 pixels of the middle of an
overlap. `step` is how far the mean error of 32 x 4 pixels on one side of such a middle is from that on the other side,
in the mean over all of them, less the same at lines halfway between. Larger scenes are gentler, as relief is that of a
scene; `--hill` puts those without water on a hill.

Cost: `enhance` in a process of its own on a generated scene, with an orthophoto and F = 8. `computed` are pixels
computed for one that is written; `inside` is that far from all edges.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.processes import machine, make_weights, measure, said
from benchmarks.scene import make_scene
from benchmarks.starters import Place, rms, scenes, site
from jspsr_cli.raster.grid import Grid
from jspsr_cli.simulate.canopymap import canopy_map
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.radar import elevation_models
from jspsr_cli.simulate.scene import CANOPY_MAP, RADAR
from jspsr_cli.tiling.windows import Lattice
from jspsr_cli.types import FloatArray
from jspsr_models import WeightsInfo, load_network

WINDOWS = (128, 192, 256, 384)
OVERLAPS = (0.125, 0.1875, 0.25, 0.5)

# No training file names it.
SEED = 6_000_000

# In pixels: side of a scene, and what of it is not judged at each edge.
SCENE, EDGE = 512, 64

# In pixels: how far from the middle of an overlap is at a seam; the two sides of a step, and how long they are.
NEAR, SIDE, LENGTH = 8, 4, 32


@dataclass
class Judged:
    """Of one pair and all places: errors in metres, those at seams, and steps at seams and halfway between."""

    errors: list[FloatArray] = field(default_factory=list)
    near: list[FloatArray] = field(default_factory=list)
    across: list[FloatArray] = field(default_factory=list)
    between: list[FloatArray] = field(default_factory=list)

    def see(self, error: FloatArray, grid: Grid, lattice: Lattice) -> None:
        """Take the errors (rows, columns) on `grid`, NaN where unknown."""
        at_seam = np.zeros(error.shape, dtype=bool)
        for plane, flags, first in ((error, at_seam, grid.origin[1]), (error.T, at_seam.T, grid.origin[0])):
            lines = middles(lattice, first, plane.shape[1])
            for line in lines:
                flags[:, max(0, line - NEAR) : line + NEAR] = True
            self.across.append(steps(plane, lines))
            self.between.append(steps(plane, [line + lattice.stride // 2 for line in lines]))
        self.errors.append(error[np.isfinite(error)])
        self.near.append(error[np.isfinite(error) & at_seam])

    def __str__(self) -> str:
        errors, near, across, between = map(np.concatenate, (self.errors, self.near, self.across, self.between))
        step = across.mean() - between.mean() if across.size and between.size else np.nan
        return f"RMSE {rms(errors):.4f} seams {rms(near):.4f} step {step:+.4f} over {across.size} of {LENGTH}"


def middles(lattice: Lattice, first: int, count: int) -> list[int]:
    """Which of `count` pixels follow the middle of an overlap; `first` is counted from the origin of the CRS."""
    found = [start + lattice.overlap // 2 - first for start in lattice.starts(first, first + count)]
    return [line for line in found if 0 < line < count]


def steps(error: FloatArray, lines: Iterable[int]) -> FloatArray:
    """Metres from one side of each line to the other, of pieces of `LENGTH` rows that are known."""
    rows = len(error) // LENGTH * LENGTH
    found = [np.zeros(0)]
    for line in lines:
        if SIDE <= line <= error.shape[1] - SIDE:
            step = error[:rows, line : line + SIDE].mean(axis=1) - error[:rows, line - SIDE : line].mean(axis=1)
            pieces = np.abs(step.reshape(-1, LENGTH).mean(axis=1))
            found.append(pieces[np.isfinite(pieces)])
    return np.concatenate(found)


#: by place, weights and pair
Found = dict[tuple[str, str, Lattice], Judged]


def judge(name: str, place: Place, weights: dict[str, WeightsInfo], asked: argparse.Namespace, found: Found) -> None:
    """Add the errors of one place."""
    truth = np.where(place.known, place.means(place.scene.terrain), np.nan)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.draws):
            canopy = canopy_map(place.scene, stream(SEED, number, CANOPY_MAP), kind="global")[(..., *place.here)]
            models = elevation_models(place.scene, stream(SEED, number, RADAR), names=["COP30"], biased=False)
            dem = models["COP30"][(..., *place.here)]
            for path, info in weights.items():
                if "image" in info.inputs and place.image is None:
                    continue
                for lattice, overlap in pairs(asked):
                    heights = place.enhanced(
                        Path(folder), dem, canopy if "canopy" in info.inputs else None, path, info,
                        window=lattice.size, overlap=overlap,
                    )  # fmt: skip
                    judged = found.setdefault((name, path, lattice), Judged())
                    judged.see(heights - truth, place.grid, lattice)


def pairs(asked: argparse.Namespace) -> list[tuple[Lattice, float]]:
    """All windows with all shares of overlap."""
    overlaps = asked.overlap or OVERLAPS
    return [(Lattice.of_share(window, share), share) for window in asked.window or WINDOWS for share in overlaps]


def inner(places: Iterable[Place]) -> Iterable[Place]:
    """The places without their edges."""
    for place in places:
        known = np.zeros_like(place.known)
        known[EDGE:-EDGE, EDGE:-EDGE] = True
        yield replace(place, known=known)


def heights(asked: argparse.Namespace) -> None:
    """Print what each pair does to the heights."""
    weights = {path: load_network(path)[1] for path in asked.weights}
    resolution = next(iter(weights.values())).resolution or 8.0
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        simulated = scenes(asked.scenes, resolution, Path(folder), seed=SEED, size=SCENE, hill=asked.hill)
        for place in inner(simulated):
            judge("simulated", place, weights, asked, found)
    for words in asked.site:
        name, places = site(words, resolution)
        for place in places:
            judge(name, place, weights, asked, found)
    for (name, path, lattice), judged in sorted(found.items(), key=lambda item: item[0][:2]):
        print(f"{name:12} {Path(path).stem:24} {lattice.size:>4}{lattice.overlap:>4} {judged}")


def cost(asked: argparse.Namespace) -> None:
    """Print what each pair costs."""
    print(said(machine()))
    print(f"{'F':>4}{'window':>8}{'overlap':>8}{'inside':>8}{'computed':>9}{'seconds':>9}{'CPU':>7}{'peak MB':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dem, guide = make_scene(folder, width=asked.pixels, height=asked.pixels)
        for features in asked.features or [8]:
            weights = make_weights(folder, features)
            for lattice, overlap in pairs(asked):
                command = ["-m", "jspsr_cli", "enhance", dem, "--guide", guide, "--weights", weights]
                command += ["-o", str(folder / "out.tif"), "--device", "cpu", "--overwrite", "--json", "--quiet"]
                command += ["--window", str(lattice.size), "--overlap", str(overlap)]
                command += ["--batch-size", str(asked.batch)] if asked.batch else []
                run = measure(command)
                report = json.loads(run.stdout)
                computed = report["windows"] * lattice.size**2 / report["pixels_written"]
                inside = (lattice.size / lattice.stride) ** 2
                print(
                    f"{features:>4}{lattice.size:>8}{lattice.overlap:>8}{inside:>8.2f}{computed:>9.2f}{run.wall:>9.1f}"
                    f"{run.cpu:>7.1f}{run.peak / 1e6:>8.0f}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="*", default=["starter-8m-canopy", "starter-8m-image-canopy"])
    parser.add_argument("--window", type=int, action="append", help=f"in pixels (default {WINDOWS})")
    parser.add_argument("--overlap", type=float, action="append", help=f"share of it (default {OVERLAPS})")
    parser.add_argument("--site", nargs="+", action="append", default=[], metavar="WORD")
    parser.add_argument("--scenes", type=int, default=0, help=f"simulated scenes of {SCENE} x {SCENE} pixels")
    parser.add_argument("--hill", type=float, default=0.0, help="metres of the hill that they lie on")
    parser.add_argument("--draws", type=int, default=1, help="draws of COP30 and canopy map on each")
    parser.add_argument("--cost", action="store_true", help="seconds and memory")
    parser.add_argument("--features", type=int, action="append", help="with --cost: width of the network (default 8)")
    parser.add_argument("--pixels", type=int, default=6000, help="with --cost: side of the 2 m guide")
    parser.add_argument("--batch", type=int, help="with --cost: windows at a time")
    asked = parser.parse_args()
    if asked.cost:
        cost(asked)
    else:
        heights(asked)


if __name__ == "__main__":
    main()
