"""A picture sheet of scenes: one row each, hillshades and maps side by side."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LightSource
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jspsr_cli.simulate.cover import COVERS
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.types import FloatArray
from jspsr_models.files import appearing

# Side of one picture in inches.
SIDE = 2.6

# Metres of canopy that are shown brightest.
TALLEST = 30.0


def write_sheet(path: Path, simulation: Simulation, numbers: Iterable[int]) -> None:
    """Write a PNG of scenes: terrain, surface, COP30, what stands on the ground, the canopy map, photo and cover.

    Raises as `Simulation.scene`, and OSError.
    """
    rows = [_pictures(simulation, number) for number in numbers]
    figure = Figure(figsize=(SIDE * len(rows[0]), SIDE * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, pictures in zip(figure.subplots(len(rows), len(rows[0]), squeeze=False), rows, strict=True):
        for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
            axis.imshow(picture)
            axis.set_title(title, fontsize=7)
            axis.set_axis_off()
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=100)


def _pictures(simulation: Simulation, number: int) -> dict[str, NDArray[Any]]:
    scene = simulation.scene(number)
    layers = simulation.layers(scene, number)
    terrain = scene.inside(scene.terrain)
    canopy, dem = layers[GUIDE_LAYERS["canopy"]][0], layers["COP30"][0]
    error = float(np.sqrt(np.mean((dem - layers[TRUTH][0]) ** 2)))
    pictures = {
        f"{number} {scene.kind}: {np.ptp(terrain):.0f} m of relief": _shaded(terrain, scene.metres),
        "surface": _shaded(scene.inside(scene.surface), scene.metres),
        f"COP30, RMSE {error:.2f} m": _shaded(dem, simulation.resolution),
        "height of what stands on the ground": colormaps["viridis"](scene.inside(scene.above) / TALLEST),
        "canopy map": colormaps["viridis"](canopy / TALLEST),
    }
    if GUIDE_LAYERS["image"] in layers:
        pictures["orthophoto"] = np.moveaxis(layers[GUIDE_LAYERS["image"]], 0, -1)
    if scene.cover is not None:
        pictures["cover"] = np.array([cover.colour for cover in COVERS], dtype=np.uint8)[scene.inside(scene.cover)]
    return pictures


def _shaded(heights: FloatArray, metres: float) -> NDArray[Any]:
    # Flat country twice as high, else there is nothing to see.
    exaggerated = 2.0 if np.ptp(heights) < 60 else 1.0
    picture: NDArray[Any] = colormaps["gray"](
        LightSource().hillshade(heights, dx=metres, dy=metres, vert_exag=exaggerated)
    )
    return picture
