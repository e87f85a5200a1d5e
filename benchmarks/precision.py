"""Which parts of the network bear half precision: metres that each costs, and milliseconds that it would save.

    python benchmarks/precision.py [--weights NAME]... [--scenes N] [--relief METRES]... [--dtype NAME] [--features F]

Metres are the 99.9th percentile of how far heights are off from float32 where that part alone runs in the other
precision, its results float32 again: for each of the weights on simulated scenes with a base that is `--relief` deeper
(0 and 900 m). Milliseconds are CPU time of one thread for one window of 128 x 128, the least of some calls, in float32
and in the other precision, of an untrained network with an image (folded, channels last).
"""

import argparse
import copy
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.forward import RELIEFS, WINDOW, scenes
from jspsr_cli.predict import WindowInput, WindowPredictor
from jspsr_cli.scaling import HeightScale
from jspsr_cli.types import FloatArray
from jspsr_models import JSPSR, load_network
from jspsr_models.inference import folded

REPEATS = 40

STEP = "output.step"

WEIGHTS = ("starter-8m-canopy", "starter-8m-image-canopy", "starter-3m-canopy")


class Reduced(nn.Module):
    """A module as autocast runs it, its result float32."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, *features: Tensor) -> Tensor:
        """Run it."""
        with torch.autocast("cpu", dtype=self.dtype):
            result: Tensor = self.module(*features)
        return result.float()


def parts(inputs: tuple[str, ...]) -> dict[str, list[str]]:
    """The parts by name, as names of modules; the last ones are several parts together."""
    found = {"stem, DEM": ["encoder.stems.dem"], "stems, guides": [f"encoder.stems.{name}" for name in inputs]}
    for level in range(4):
        found[f"level {level + 1}, DEM"] = [f"encoder.levels.{level}.dem"]
        found[f"level {level + 1}, guides"] = [f"encoder.levels.{level}.{name}" for name in inputs]
    found |= {f"decoder, {name}": [f"decoder.{name}"] for name in ("up3", "up2", "up1", "head")}
    for name in ("dem_path", "context_path", "merge", "block", "affinity", "offset"):
        found[f"propagation, {name}"] = [f"output.guidance.{name}"]

    def together(*names: str) -> list[str]:
        return [module for name in names for module in found[name]]

    deep = together("level 4, DEM", "level 4, guides", "decoder, up3")
    deeper = deep + together("level 3, DEM", "level 3, guides", "decoder, up2")
    deepest = deeper + together("level 2, DEM", "level 2, guides", "decoder, up1")
    guides = together("stems, guides", "level 1, guides")
    return found | {
        "level 4": deep,
        "levels 3 and 4": deeper,
        "levels 2 to 4": deepest,
        "and guides, head: --precision": deepest + guides + together("decoder, head"),
        "and level 1, DEM": deepest + guides + together("decoder, head", "level 1, DEM"),
    }


def with_reduced(network: JSPSR, names: list[str], dtype: torch.dtype) -> JSPSR:
    """A copy whose modules `names` run in `dtype`."""
    network = copy.deepcopy(network)
    for name in names:
        network.set_submodule(name, Reduced(network.get_submodule(name), dtype))
    return network


def heights(network: JSPSR, scale: HeightScale, windows: list[WindowInput]) -> FloatArray:
    """Heights in metres of windows one by one."""
    predictor = WindowPredictor(
        lambda dem, **guides: network(dem, **guides), scale=scale, device=torch.device("cpu"), precision="float32"
    )
    return np.stack([predictor.heights([window])[0] for window in windows])


def metres(name: str, count: int, dtype: torch.dtype, reliefs: Sequence[float]) -> dict[str, list[float]]:
    """Of each part of the weights `name`, for each of the reliefs."""
    network, info = load_network(name)
    network = folded(network)
    assert info.height_range is not None
    scale, found = HeightScale(*info.height_range), {part: list[float]() for part in parts(info.inputs)}
    for relief in reliefs:
        windows, _ = scenes(count, info.inputs, relief=relief, resolution=info.resolution or 8.0)
        plain = heights(network, scale, windows)
        for part, names in parts(info.inputs).items():
            off = np.abs(heights(with_reduced(network, names, dtype), scale, windows) - plain)
            found[part].append(float(np.percentile(off, 99.9)))
    return found


def milliseconds(width: int, dtype: torch.dtype) -> dict[str, tuple[float, float]]:
    """Of each part and of the deformable step, which is never reduced, in float32 and in `dtype`."""
    torch.manual_seed(0)
    network = folded(JSPSR(num_feature=width))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    every = {name for names in parts(network.inputs).values() for name in names} | {STEP}
    given: dict[str, tuple[Tensor, ...]] = {}
    for name in every:
        network.get_submodule(name).register_forward_pre_hook(partial(_keep, given, name))
    network(torch.rand(1, 1, WINDOW, WINDOW), image=torch.rand(1, 3, WINDOW, WINDOW))
    times = {}
    for name in every:
        module, features = network.get_submodule(name), given[name]
        plain = reduced = _least(module, features)
        if name != STEP:
            reduced = _least(copy.deepcopy(module).to(dtype), tuple(feature.to(dtype) for feature in features))
        times[name] = plain, reduced
    return {
        part: (sum(times[name][0] for name in names), sum(times[name][1] for name in names))
        for part, names in {**parts(network.inputs), "deformable step": [STEP]}.items()
    }


def _keep(given: dict[str, tuple[Tensor, ...]], name: str, _module: nn.Module, features: tuple[Tensor, ...]) -> None:
    given[name] = features


def _least(module: nn.Module, features: tuple[Tensor, ...]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        module(*features)
        taken.append(time.process_time() - start)
    return min(taken) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", action="append")
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--relief", type=float, action="append")
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--features", type=int, default=8)
    asked = parser.parse_args()
    dtype = getattr(torch, asked.dtype)
    torch.set_num_threads(1)
    with torch.inference_mode():
        times = milliseconds(asked.features, dtype)
        found = {
            name: metres(name, asked.scenes, dtype, asked.relief or RELIEFS)
            for name in (asked.weights or WEIGHTS if asked.scenes else ())
        }
    print(f"{'':32}{'float32':>9}{asked.dtype:>9} ms" + "".join(f"  {name}" for name in found))
    for part, (plain, reduced) in times.items():
        cells = [f"{off:11.4f} m" for of in found.values() for off in of.get(part, ())]
        print(f"{part:32}{plain:9.2f}{reduced:9.2f}   " + "".join(cells))


if __name__ == "__main__":
    main()
