"""How simulated orthophotos compare with real ones, in numbers and side by side, and what one costs.

    python benchmarks/photos.py [--scenes N] [--resolution METRES] [--photo NAME FILE[,FILE,FILE]]... [--sheet PNG]

Real ones are averaged to the same pixels as `enhance` would, and cut into squares. For each statistic: the 5th, 50th
and 95th percentile over the simulated photos, and the median (least to most) over the squares of each real one, with !
where that lies outside of simulated photos cut to the same size. The sheet shows the first squares of each real photo,
and simulated ones after them.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jspsr_cli.plan import extent_of
from jspsr_cli.raster.inputs import image_layer, image_stretch, open_image
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.target import TargetRequest, target_of
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.photo import photo
from jspsr_cli.simulate.scene import PHOTO
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.types import FloatArray

# Pixels a side of simulated photos and of squares, at most; with less than this a square says nothing.
SIDE, LEAST = 128, 32

# Squares with more voids, at the edges of a turned photo, are left out.
VOIDS = 0.05

# Simulated photos on the sheet, real ones of each file there, and how many are side by side.
SHOWN, REAL_SHOWN, WIDE = 24, 2, 6

# Below this share of the mean brightness a pixel is dark: shadow, water, wood.
DARK = 0.6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--resolution", type=float, default=8.0)
    parser.add_argument("--photo", nargs=2, action="append", default=[], metavar=("NAME", "FILE"))
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    real = {name: squares(files.split(","), resolution=options.resolution) for name, files in options.photo}
    made, seconds = simulated(options.scenes, resolution=options.resolution)
    print(f"{options.scenes} photos of {SIDE} x {SIDE} pixels of {options.resolution:g} m, ", end="")
    print(f"{1000 * seconds:.0f} ms of CPU each beside their scene")
    print(f"{'':30}{'simulated':>26}" + "".join(f"{name + f' ({len(found)})':>26}" for name, found in real.items()))
    for key, of in STATISTICS.items():
        low, middle, high = _range(of, made, (SIDE, SIDE))
        cells = [f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        for found in real.values():
            values = [of(square) for square in found]
            # A smaller square is less varied, whatever it shows.
            low, _, high = _range(of, made, found[0].shape[1:])
            mark = "" if low <= np.median(values) <= high else " !"
            cells.append(f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f}){mark}")
        print(f"{key:30}" + "".join(f"{cell:>26}" for cell in cells))
    if options.sheet:
        shown = [square.astype(np.uint8) for found in real.values() for square in found[:REAL_SHOWN]]
        write_sheet(options.sheet, [*shown, *made[:SHOWN]])


def _range(
    of: Callable[[FloatArray], float], made: list[NDArray[np.uint8]], shape: tuple[int, ...]
) -> tuple[float, float, float]:
    values = [of(image[:, : shape[0], : shape[1]].astype(np.float32)) for image in made]
    low, middle, high = np.percentile(values, (5, 50, 95))
    return float(low), float(middle), float(high)


def squares(paths: list[str], *, resolution: float) -> list[FloatArray]:
    """Squares (3, rows, columns) nearly without voids of a real orthophoto, averaged to `resolution` metres."""
    files = open_image(paths)
    extent = extent_of(files)
    grid = target_of(TargetRequest(resolution), [extent], guide=extent).grid
    with RasterReader() as reader:
        stretch = image_stretch(files, reader)
        pixels = image_layer(files, grid, reader=reader, stretch=stretch).read(0, 0, grid.height, grid.width)
    rows, cols = min(SIDE, grid.height - 2), min(SIDE, grid.width - 2)
    found = [
        pixels[:, row : row + rows, col : col + cols]
        for row in range(1, grid.height - rows, rows)
        for col in range(1, grid.width - cols, cols)
    ]
    return [fill_voids(square) for square in found if min(rows, cols) >= LEAST and np.isnan(square).mean() < VOIDS]


def simulated(count: int, *, resolution: float) -> tuple[list[NDArray[np.uint8]], float]:
    """Photos of the first scenes, and seconds of CPU time that one takes; the first ones aside."""
    simulation, found, seconds = Simulation(size=SIDE, resolution=resolution), [], 0.0
    for number in range(count):
        scene = simulation.scene(number)
        begun = time.process_time()
        found.append(photo(scene, stream(simulation.seed, number, PHOTO)))
        seconds += time.process_time() - begun if number > 2 else 0
    return found, seconds / max(count - 3, 1)


def write_sheet(path: Path, images: list[NDArray[np.uint8]]) -> None:
    """Write `images` side by side, twice as large."""
    step = SIDE + 4
    sheet: NDArray[Any] = np.full((-(-len(images) // WIDE) * step, WIDE * step, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        row, col = (step * place for place in divmod(number, WIDE))
        sheet[row : row + image.shape[1], col : col + image.shape[2]] = np.moveaxis(image, 0, -1)
    Image.fromarray(sheet.repeat(2, axis=0).repeat(2, axis=1)).save(path)


def _mean(band: int) -> Callable[[FloatArray], float]:
    return lambda image: float(image[band].mean())


def _spread(band: int) -> Callable[[FloatArray], float]:
    return lambda image: float(image[band].std())


def _alike(first: int, second: int) -> Callable[[FloatArray], float]:
    return lambda image: float(np.corrcoef(image[first].ravel(), image[second].ravel())[0, 1])


def _more(first: int, second: int, percentile: float) -> Callable[[FloatArray], float]:
    return lambda image: float(np.percentile(image[first] - image[second], percentile))


def _steps(away: int) -> Callable[[FloatArray], float]:
    """Mean difference between pixels so far apart, in shares of the standard deviation."""

    def of(image: FloatArray) -> float:
        grey = image.mean(axis=0)
        steps = (np.abs(grey[away:] - grey[:-away]).mean(), np.abs(grey[:, away:] - grey[:, :-away]).mean())
        return float(np.mean(steps) / max(grey.std(), 1e-6))

    return of


def _contrast(image: FloatArray) -> float:
    grey = image.mean(axis=0)
    low, high = np.percentile(grey, (2, 98))
    return float(high - low)


def _dark(image: FloatArray) -> float:
    grey = image.mean(axis=0)
    return float((grey < DARK * grey.mean()).mean())


STATISTICS: dict[str, Callable[[FloatArray], float]] = {
    "mean of red": _mean(0),
    "mean of green": _mean(1),
    "mean of blue": _mean(2),
    "std of red": _spread(0),
    "std of green": _spread(1),
    "std of blue": _spread(2),
    "correlation red, green": _alike(0, 1),
    "correlation green, blue": _alike(1, 2),
    "correlation red, blue": _alike(0, 2),
    "green - red, median": _more(1, 0, 50),
    "green - red, 95 %": _more(1, 0, 95),
    "green - blue, median": _more(1, 2, 50),
    "green - blue, 95 %": _more(1, 2, 95),
    "contrast, 2 to 98 %": _contrast,
    "step to the next pixel / std": _steps(1),
    "step over 4 pixels / std": _steps(4),
    "share of dark pixels": _dark,
}


if __name__ == "__main__":
    main()
