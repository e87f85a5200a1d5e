"""How simulated scenes compare with real ground, and what one costs.

    python benchmarks/simulated.py [--scenes N] [--size PIXELS] [--site NAME TERRAIN SURFACE]...

For each statistic: the 5th, 50th and 95th percentile over the simulated scenes, and the median (least to most) over
squares of the same size of each site. COP30 over a site is simulated as over scenes, so its errors compare the ground.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable

import numpy as np
from scipy import ndimage

from jspsr_cli.simulate.fields import averaged
from jspsr_cli.simulate.real import RealGround
from jspsr_cli.simulate.scene import COVERED, OPEN, Scene
from jspsr_cli.simulate.views import SimulatedSample, Simulation
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.types import BoolArray, FloatArray

# Squares of each site.
SQUARES = 12

# About the metres of pixels that cover is looked at in.
PATCH_PIXEL = 4.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--site", nargs=3, action="append", default=[], metavar=("NAME", "TERRAIN", "SURFACE"))
    options = parser.parse_args()
    made = Simulation(size=options.size)
    table = {"simulated": statistics(made, range(options.scenes))}
    for name, terrain, surface in options.site:
        ground = RealGround((terrain,), (surface,))
        table[name] = statistics(Simulation(size=options.size, ground=ground), range(SQUARES))
    print(f"{options.scenes} scenes of {options.size} x {options.size} pixels of 8 m")
    print(f"{'':34}" + "".join(f"{name:>22}" for name in table))
    for key in STATISTICS:
        cells = (_cell(values[key], wide=name == "simulated") for name, values in table.items())
        print(f"{key:34}" + "".join(f"{cell:>22}" for cell in cells))
    for size, resolution in ((128, 8.0), (334, 3.0)):
        seconds = cost(Simulation(size=size, resolution=resolution))
        print(f"{1000 * seconds:.0f} ms of CPU a sample of {size} x {size} pixels of {resolution:g} m, ", end="")
        print(f"load {os.getloadavg()[0]:.1f}")


def _cell(values: FloatArray, *, wide: bool) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "-"
    low, middle, high = np.percentile(known, (5, 50, 95) if wide else (0, 50, 100))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def statistics(simulation: Simulation, numbers: Iterable[int]) -> dict[str, FloatArray]:
    """All statistics of the scenes `numbers`."""
    found: dict[str, list[float]] = {key: [] for key in STATISTICS}
    for number in numbers:
        scene = simulation.scene(number)
        layers = simulation.layers(scene, number)
        error = (layers["COP30"] - layers[TRUTH])[0]
        for key, of in STATISTICS.items():
            found[key].append(of(scene, error))
    return {key: np.array(values) for key, values in found.items()}


def cost(simulation: Simulation, *, samples: int = 40) -> float:
    """Seconds of CPU time that a sample with its canopy map takes, made when it is read; the first ones aside."""
    for number in range(3):
        SimulatedSample(simulation, number).read()
    begun = time.process_time()
    for number in range(samples):
        SimulatedSample(simulation, number).read()
    return (time.process_time() - begun) / samples


def _slope(percentile: float) -> Callable[[Scene, FloatArray], float]:
    def of(scene: Scene, _error: FloatArray) -> float:
        heights = averaged(scene.inside(scene.terrain), scene.factor)
        return float(np.percentile(np.degrees(np.arctan(np.hypot(*np.gradient(heights, 8.0)))), percentile))

    return of


def _rough(metres: float) -> Callable[[Scene, FloatArray], float]:
    """Standard deviation of terrain within squares of `metres`, root of the mean square."""

    def of(scene: Scene, _error: FloatArray) -> float:
        side = round(metres / scene.metres)
        heights = scene.inside(scene.terrain).astype(np.float64)
        middle = heights - heights.mean()
        variance = averaged(middle**2, side) - averaged(middle, side) ** 2
        return float(np.sqrt(max(float(variance.mean()), 0)))

    return of


def _above(percentile: float) -> Callable[[Scene, FloatArray], float]:
    def of(scene: Scene, _error: FloatArray) -> float:
        above = scene.inside(scene.above)
        covered = above[above > COVERED]
        return float(np.percentile(covered, percentile)) if covered.size > above.size / 200 else np.nan

    return of


def _covered(scene: Scene, _error: FloatArray) -> float:
    return float((scene.inside(scene.above) > COVERED).mean())


def _patches(scene: Scene) -> tuple[FloatArray, float]:
    factor = max(1, round(PATCH_PIXEL / scene.metres))
    return averaged(scene.inside(scene.above), factor), factor * scene.metres


def _edges(scene: Scene, _error: FloatArray) -> float:
    """Metres of edge between covered and open ground on a hectare."""
    above, metres = _patches(scene)
    high = above > COVERED
    changes = (high[1:] != high[:-1]).sum() + (high[:, 1:] != high[:, :-1]).sum()
    return float(changes / high.size / metres * 10_000)


def _range(scene: Scene, _error: FloatArray) -> float:
    """Metres over which what stands on the ground is alike: where its autocorrelation falls below 1/e."""
    above, metres = _patches(scene)
    above = above - above.mean()
    if above.std() < 0.1:
        return np.nan
    for step in range(1, above.shape[1] // 2):
        if (above[:, step:] * above[:, :-step]).mean() < above.var() / np.e:
            return float(step * metres)
    return float(above.shape[1] / 2 * metres)


def _rmse(where: Callable[[FloatArray], BoolArray]) -> Callable[[Scene, FloatArray], float]:
    """Of COP30 against terrain, its bias taken off, where the height of what stands there is as asked."""

    def of(scene: Scene, error: FloatArray) -> float:
        above = ndimage.uniform_filter(averaged(scene.inside(scene.above), scene.factor), 5)
        chosen = error[where(above)]
        return float(np.sqrt((chosen**2).mean())) if chosen.size > error.size / 50 else np.nan

    return of


STATISTICS: dict[str, Callable[[Scene, FloatArray], float]] = {
    "slope, median (degrees)": _slope(50),
    "slope, 90 %": _slope(90),
    "slope, 99 %": _slope(99),
    "terrain std within 30 m (m)": _rough(30),
    "terrain std within 100 m": _rough(100),
    "terrain std within 300 m": _rough(300),
    "covered (> 2 m)": _covered,
    "height of cover, median (m)": _above(50),
    "height of cover, 90 %": _above(90),
    "height of cover, 99 %": _above(99),
    "edges of cover (m/ha)": _edges,
    "range of cover (m)": _range,
    "COP30 RMSE (m)": _rmse(lambda above: above >= 0),
    "COP30 RMSE, mostly covered": _rmse(lambda above: above > COVERED),
    "COP30 RMSE, open": _rmse(lambda above: above < OPEN),
}


if __name__ == "__main__":
    main()
