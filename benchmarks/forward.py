"""A forward pass in the plain way beside the ways of `enhance`: ratios of time, and what they cost in metres.

    python benchmarks/forward.py [--features F]... [--weights NAME]... [--scenes N] [--repeat N] [--device DEVICE]
                                 [--window N] [--backends]

Plain is float32, contiguous, eager, one window of 128 x 128 after the other. Times are the least of some rounds in
which all ways take turns, as whatever else the machine does can only add to them; so are those of CPU, all threads
together. Metres are those of weights of the package on simulated scenes that they have not seen: RMSE against the
terrain, and the 99.9th percentile of how far a way is off from the plain one. The scenes are taken as they are, and
with a base 900 m below, where the logarithmic scale is coarsest. `--window` is that of the times. `--backends` adds
what `enhance` does not offer: the exported network in onnxruntime, and the network compiled by torch (CPU; needs the
extra `export` and a compiler).
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.backends import backends
from jspsr_cli.predict import Predictor, WindowInput, WindowPredictor, default_batch
from jspsr_cli.scaling import HeightScale
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.training.dfc30 import GUIDE_LAYERS
from jspsr_cli.types import FloatArray, Precision
from jspsr_models import JSPSR, load_network
from jspsr_models.inference import folded

WINDOW = 128
WINDOWS = 8

# No training file names it.
SEED = 9_000_000

RELIEFS = (0, 900)

Way = Callable[[list[WindowInput]], list[FloatArray]]


def ways(network: JSPSR, scale: HeightScale, device: torch.device, *, others: int | None = None) -> dict[str, Way]:
    """What is compared, the plain way first; with other backends for windows of so many pixels, if any."""

    def way(predictor: Predictor, batch: int, precision: Precision = "float32") -> Way:
        known = WindowPredictor(predictor, scale=scale, device=device, precision=precision)
        return lambda windows: [
            heights
            for first in range(0, len(windows), batch)
            for heights in known.heights(windows[first : first + batch])
        ]

    def as_it_is(module: torch.nn.Module) -> Predictor:
        """A callable that is no module stays as it is."""
        return lambda dem, **guides: module(dem, **guides)

    network = network.to(device).eval()
    without, last = folded(network), folded(network)
    last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    many = default_batch(device, WINDOW)
    reduced: tuple[Precision, ...] = ("bfloat16",) if device.type == "cpu" else ("bfloat16", "float16")
    return {
        "plain": way(as_it_is(network), 1),
        f"plain, {many} at a time": way(as_it_is(network), many),
        "batch norm folded": way(as_it_is(without), 1),
        "and channels last": way(as_it_is(last), 1),
        "enhance": way(network, many),
        **{f"enhance --precision {name}": way(network, many, name) for name in reduced},
        **({name: way(predict, many) for name, predict in backends(network, others).items()} if others else {}),
    }


def seconds(found: dict[str, Way], windows: list[WindowInput], repeat: int) -> dict[str, tuple[float, float]]:
    """Least seconds of a window, of wall clock and of CPU (all threads together)."""
    least = dict.fromkeys(found, (np.inf, np.inf))
    for _ in range(repeat + 1):  # a first call sets up threads and memory, and is never the fastest
        for name, way in found.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way(windows)
            taken = (time.perf_counter() - wall) / len(windows), (time.process_time() - cpu) / len(windows)
            least[name] = min(least[name][0], taken[0]), min(least[name][1], taken[1])
    return least


def scenes(
    count: int, inputs: tuple[str, ...], *, relief: float, resolution: float = 8.0
) -> tuple[list[WindowInput], FloatArray]:
    """Windows of simulated scenes whose base is `relief` metres deeper than it was, and their terrain."""
    simulation = Simulation(seed=SEED, resolution=resolution, size=WINDOW)
    windows, truth = [], []
    for number in range(count):
        wanted = {"COP30", "RGEALTI", *(GUIDE_LAYERS[name] for name in inputs)}
        layers = simulation.layers(simulation.scene(number), number, wanted=wanted)
        guides = {name: layers[GUIDE_LAYERS[name]].astype(np.float32) for name in inputs}
        dem = layers["COP30"].astype(np.float32)
        windows.append(WindowInput(col=0, heights=dem, base=float(dem.min()) - relief, guides=guides))
        truth.append(layers["RGEALTI"][0].astype(np.float64))
    return windows, np.stack(truth)


def noise(inputs: tuple[str, ...], size: int) -> list[WindowInput]:
    """Windows of `size` pixels for a network that is not trained."""
    chance = np.random.default_rng(SEED)
    return [
        WindowInput(
            col=0,
            heights=chance.uniform(0, 50, (1, size, size)).astype(np.float32),
            base=0.0,
            guides={name: chance.integers(0, 255, (3, size, size)).astype(np.uint8) for name in inputs},
        )
        for _ in range(WINDOWS)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, action="append")
    parser.add_argument("--weights", action="append")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--backends", action="store_true")
    options = parser.parse_args()
    device, size = torch.device(options.device), options.window
    print(f"{device}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {size} x {size} pixels")
    for features in options.features or (8, 32):
        torch.manual_seed(0)
        others = size if options.backends else None
        found = ways(JSPSR(num_feature=features), HeightScale(-45.0, 200.0), device, others=others)
        least = seconds(found, noise(("image",), size), options.repeat)
        for name, (wall, cpu) in least.items():
            times = f"{least['plain'][0] / wall:6.2f} times, {cpu * 1e3:7.1f} ms of CPU"
            print(f"F = {features:<3} {name:34} {wall * 1e3:7.1f} ms a window {times}")
    for name in (options.weights or ("starter-8m-canopy", "starter-8m-image-canopy")) if options.scenes else ():
        network, info = load_network(name)
        assert info.height_range is not None
        others = WINDOW if options.backends else None
        found = ways(network, HeightScale(*info.height_range), device, others=others)
        for relief in RELIEFS:
            windows, truth = scenes(options.scenes, info.inputs, relief=relief)
            plain = None
            for way, predict in found.items():
                heights = np.stack(predict(windows))
                plain = heights if plain is None else plain
                rmse, off = np.sqrt(np.mean((heights - truth) ** 2)), np.percentile(np.abs(heights - plain), 99.9)
                print(f"{name}, {relief} m: {way:34} RMSE {rmse:.4f} m, 99.9 % within {off:.4f} m of the plain way")


if __name__ == "__main__":
    main()
