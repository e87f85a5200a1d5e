"""How good weights are on ground that they have not seen, under several draws of the simulated COP30.

    python benchmarks/starters.py WEIGHTS... --site NAME TERRAIN SURFACE [canopy=FILE] [image=FILE] ... --scenes 40

For each site, and for simulated scenes of a seed of their own: RMSE, median, NMAD and LE95 in metres of bicubic and of
each of the weights that the site has guides for, with an exact canopy map and with one as wrong as the global one; RMSE
on open ground, under trees and under houses (of a site only where `canopy` tells them apart, else where either stands).
COP30 has no tile-wide bias, which no network can see; `biased` is RMSE with it. `spoilt` is the share of blocks of
16 x 16 pixels, those with 50 or more valid ones, that are worse than bicubic by more than half a metre.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from jspsr_cli import EnhanceOptions, enhance
from jspsr_cli.assess.metrics import error_figures
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.simulate.canopymap import CanopyKind, canopy_map
from jspsr_cli.simulate.fields import averaged, stream
from jspsr_cli.simulate.radar import elevation_models
from jspsr_cli.simulate.real import RealGround
from jspsr_cli.simulate.scene import CANOPY_MAP, RADAR, Scene, grounds
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.training.dfc30 import GUIDE_LAYERS
from jspsr_cli.types import BoolArray, FloatArray
from jspsr_models import WeightsInfo, load_network

MAPS: tuple[CanopyKind, ...] = ("exact", "global")

# Of sources that take none.
NO_MAP = "-"

# Source and map of the upsampled input.
BICUBIC = ("bicubic", NO_MAP)

# Side of the blocks that are judged one by one, the valid pixels that they need, and how much worse is spoilt.
BLOCK, LEAST, SPOILT = 16, 50, 0.5

# Of the draws, and of the scenes: no training file names it.
SEED = 7_000_000

GROUNDS = ("open", "covered", "trees", "houses")

# Pixels a side of simulated scenes: several windows.
SCENE = 256


@dataclass
class Errors:
    """Height minus truth in metres of one source: one image a draw, without and with a bias of the tile."""

    plain: list[FloatArray] = field(default_factory=list)
    biased: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A scene whose first pixels on `grid` are judged where they are `known`; `image` is a file, or None for none.

    `told_apart` is whether trees and houses are.
    """

    scene: Scene
    grid: Grid
    known: BoolArray
    image: str | None
    told_apart: bool

    @property
    def here(self) -> tuple[slice, slice]:
        """Rows and columns of the grid."""
        return slice(0, self.grid.height), slice(0, self.grid.width)

    def means(self, values: FloatArray) -> FloatArray:
        """Means of fine pixels."""
        found: FloatArray = averaged(self.scene.inside(values), self.scene.factor)[self.here]
        return found

    def grounds(self) -> dict[str, BoolArray]:
        """Which pixels are which kind of ground; `covered` where trees and houses cannot be told apart."""
        kinds = {name: self.known & where[self.here] for name, where in grounds(self.scene).items()}
        if not self.told_apart:
            kinds = {"open": kinds["open"], "covered": kinds["trees"] | kinds["houses"]}
        return {"all": self.known, **kinds}

    def errors(self, weights: dict[str, WeightsInfo], count: int, folder: Path) -> dict[tuple[str, str], Errors]:
        """Of `BICUBIC` and of weights by path and kind of canopy map."""
        truth = np.where(self.known, self.means(self.scene.terrain), np.nan)
        found: dict[tuple[str, str], Errors] = {BICUBIC: Errors()}
        for number in range(count):
            maps: dict[str, Any] = {
                kind: canopy_map(self.scene, stream(SEED, number, CANOPY_MAP), kind=kind) for kind in MAPS
            }
            for biased in (False, True):
                chance = stream(SEED, number, RADAR)
                dem = elevation_models(self.scene, chance, names=["COP30"], biased=biased)["COP30"][(..., *self.here)]
                heights = {BICUBIC: dem[0]}
                for path, info in weights.items():
                    if "image" in info.inputs and self.image is None:
                        continue
                    for kind in MAPS if "canopy" in info.inputs else (NO_MAP,):
                        canopy = maps[kind][(..., *self.here)] if kind in maps else None
                        heights[path, kind] = self.enhanced(folder, dem, canopy, path, info)
                for key, values in heights.items():
                    errors = found.setdefault(key, Errors())
                    (errors.biased if biased else errors.plain).append(values - truth)
        return found

    def enhanced(
        self, folder: Path, dem: FloatArray, canopy: Any, path: str, info: WeightsInfo, **options: Any
    ) -> FloatArray:
        """Heights that `enhance` makes, with `options` beside its defaults."""
        files = [folder / name for name in ("dem.tif", "canopy.tif", "out.tif")]
        write_layer(files[0], dem.astype(np.float32), grid=self.grid, heights=True, tags={})
        if canopy is not None:
            write_layer(files[1], canopy, grid=self.grid, heights=False, tags={})
        enhance(
            files[0],
            output=files[2],
            image=[self.image] if self.image and "image" in info.inputs else [],
            canopy=[files[1]] if canopy is not None else [],
            weights=path,
            options=EnhanceOptions(like=str(files[0]), overwrite=True, water="network", **options),
        )
        with rasterio.open(files[2]) as dataset:
            heights: FloatArray = dataset.read(1, masked=True).filled(np.nan)
        return heights


def figures(error: FloatArray) -> dict[str, float]:
    """RMSE, median, NMAD, LE95 of all valid pixels, and how many they are."""
    error = error[np.isfinite(error)]
    values = error_figures(error) if error.size else [np.nan] * 4
    return {**dict(zip(("rmse", "median", "nmad", "le95"), values, strict=True)), "pixels": error.size}


def rms(values: FloatArray) -> float:
    """Root of the mean square, NaN of nothing."""
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2))) if values.size else float("nan")


def block_rmse(error: FloatArray) -> list[float]:
    """RMSE of blocks in their order, NaN where too few pixels are valid."""
    found = []
    for row in range(0, error.shape[0], BLOCK):
        for col in range(0, error.shape[1], BLOCK):
            part = error[row : row + BLOCK, col : col + BLOCK]
            part = part[np.isfinite(part)]
            found.append(rms(part) if part.size >= LEAST else np.nan)
    return found


def judge(name: str, places: list[Place], weights: dict[str, WeightsInfo], count: int) -> list[dict[str, Any]]:
    """One line a source of all `places` together."""
    with tempfile.TemporaryDirectory() as folder:
        errors = [place.errors(weights, count, Path(folder)) for place in places]
    kinds = [place.grounds() for place in places]
    lines = []
    for key in errors[0]:
        worse = np.concatenate(
            [
                np.subtract(block_rmse(after), block_rmse(before))
                for found in errors
                for after, before in zip(found[key].plain, found[BICUBIC].plain, strict=True)
            ]
        )
        lines.append({"site": name, "weights": Path(key[0]).stem, "map": key[1]} | {
            ground: figures(np.concatenate([
                error[where[ground]] for found, where in zip(errors, kinds, strict=True) for error in found[key].plain
            ]))
            for ground in kinds[0]
        } | {
            "spoilt": float(np.mean(worse[np.isfinite(worse)] > SPOILT)),
            "blocks": int(np.isfinite(worse).sum()),
            "biased": figures(np.concatenate([
                error[where["all"]] for found, where in zip(errors, kinds, strict=True) for error in found[key].biased
            ]))["rmse"],
        })  # fmt: skip
    return lines


def site(words: list[str], resolution: float) -> tuple[str, list[Place]]:
    """A real place from the words after --site."""
    name, terrain, surface, *more = words
    extra = dict(word.split("=", 1) for word in more)
    ground = RealGround((terrain,), (surface,), (extra["canopy"],) if "canopy" in extra else ())
    scene, known = ground.whole(resolution)
    return name, [Place(scene, ground.grid(resolution), known, extra.get("image"), "canopy" in extra)]


def scenes(
    count: int, resolution: float, folder: Path, *, seed: int = SEED, size: int = SCENE, hill: float = 0.0
) -> Iterator[Place]:
    """Simulated places of `size` pixels on a round hill of `hill` metres, whose photos lie in `folder`.

    With a hill those with water are left out: it would no longer be level.
    """
    simulation = Simulation(seed=seed, resolution=resolution, size=size)
    for number in range(count):
        scene = simulation.scene(number)
        if hill and scene.water.any():
            continue
        scene = replace(scene, terrain=scene.terrain + np.float32(hill) * _round_hill(len(scene.terrain)))
        image = None
        if GUIDE_LAYERS["image"] in simulation.kinds:
            image = str(folder / f"{seed}_{number}.tif")
            layers = simulation.layers(scene, number, wanted=[GUIDE_LAYERS["image"]])
            write_layer(Path(image), layers[GUIDE_LAYERS["image"]], grid=scene.grid, heights=False, tags={})
        yield Place(scene, scene.grid, np.ones((size, size), dtype=bool), image, True)


def _round_hill(side: int) -> FloatArray:
    """A hill of 1 m (side, side), level at its top and around it."""
    slope = np.sin(np.linspace(0, np.pi, side, dtype=np.float32)) ** 2
    hill: FloatArray = np.outer(slope, slope)
    return hill


def said(line: dict[str, Any]) -> str:
    """A line for people."""
    cells = " ".join(f"{ground} {line[ground]['rmse']:.2f}" for ground in GROUNDS if ground in line)
    whole = line["all"]
    return (
        f"{line['site']:12} {line['weights']:24} {line['map']:6} {whole['rmse']:.2f} | median {whole['median']:+.2f} "
        f"NMAD {whole['nmad']:.2f} LE95 {whole['le95']:.2f} | {cells} | spoilt {line['spoilt']:.1%} of "
        f"{line['blocks']} | biased {line['biased']:.2f}"
    )


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--site", nargs="+", action="append", default=[], metavar="WORD")
    parser.add_argument("--scenes", type=int, default=0, help="simulated scenes of 256 x 256 pixels")
    parser.add_argument("--draws", type=int, default=4, help="draws of COP30 and canopy map on each")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    weights = {path: load_network(path)[1] for path in asked.weights}
    resolutions = {info.resolution for info in weights.values()}
    if len(resolutions) > 1:
        parser.error(f"weights of one resolution at a time, not of {resolutions}")
    resolution = resolutions.pop() or 8.0
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        places = [site(words, resolution) for words in asked.site]
        if asked.scenes:
            places.append(("simulated", list(scenes(asked.scenes, resolution, Path(folder)))))
        for name, found in places:
            judged = judge(name, found, weights, asked.draws)
            lines += judged
            print(*map(said, judged), sep="\n", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(lines, indent=1), "utf-8")


if __name__ == "__main__":
    main()
