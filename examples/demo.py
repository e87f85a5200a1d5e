"""The whole road on a simulated scene: `jspsr enhance` as a user would type it, judged by the truth, and pictured.

    python examples/demo.py [FOLDER]

The starter weights have not seen the scene. All that is made lies in FOLDER (demo): the DEM as a radar mission would
publish it, a canopy map with the errors of the global one, the output, the truth, and a picture of all of them.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LightSource
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jspsr_cli.assess.metrics import error_figures
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.radar import native_models
from jspsr_cli.simulate.scene import RADAR, Scene, grounds
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH

Heights = NDArray[Any]

# Woods, parks, houses and a small river. The weights were trained on scenes of other seeds.
SEED, NUMBER = 2026, 1

RESOLUTION = 8.0
SIZE = 256  # pixels of the output a side: 2 km

# Metres at which the colours of errors end.
ERROR = 8.0


def make_inputs(folder: Path, size: int) -> Scene:
    """Write cop30.tif, canopy.tif, truth.tif and before.tif, the upsampled DEM; `size` in pixels of the output."""
    simulation = Simulation(seed=SEED, resolution=RESOLUTION, size=size, canopy="global")
    scene = simulation.scene(NUMBER)
    pixels, transform = native_models(scene, stream(SEED, NUMBER, RADAR), names=["COP30"], biased=simulation.biased)
    layout = {"count": 1, "height": pixels.shape[1], "width": pixels.shape[2], "dtype": "float32"}
    with rasterio.open(folder / "cop30.tif", "w", crs="EPSG:4326", transform=transform, **layout) as dataset:
        dataset.write(pixels)
        dataset.update_tags(AREA_OR_POINT="Point")
    names = {"canopy": GUIDE_LAYERS["canopy"], "truth": TRUTH, "before": "COP30"}
    layers = simulation.layers(scene, NUMBER, wanted=names.values())
    for name, layer in names.items():
        write_layer(folder / f"{name}.tif", layers[layer], grid=scene.grid, heights=name != "canopy", tags={})
    return scene


def enhance(folder: Path) -> int:
    """Say the command that a user would type, run it, and return its exit code."""
    (folder / "dem.tif").unlink(missing_ok=True)
    command = ["enhance", str(folder / "cop30.tif"), "--canopy", str(folder / "canopy.tif")]
    command += ["-o", str(folder / "dem.tif")]
    print(f"$ jspsr {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", "jspsr_cli", *command], check=False).returncode


def read(path: Path) -> Heights:
    """Heights in metres (rows, columns), NaN where there are none."""
    with rasterio.open(path) as dataset:
        heights: Heights = dataset.read(1, masked=True).astype(float).filled(np.nan)
    return heights


def judge(errors: dict[str, Heights], scene: Scene) -> Table:
    """Errors in metres by what stands on the ground."""
    found = grounds(scene)
    titles = {"open": "open ground", "trees": "under trees", "houses": "under houses"}
    places = {"everywhere": np.ones_like(found["open"])} | {titles[name]: where for name, where in found.items()}
    table = Table("", "pixels", "", "RMSE", "median", "NMAD", "LE95", title="height minus truth, in metres")
    for ground, where in places.items():
        for name, error in errors.items():
            known = error[where & np.isfinite(error)]
            values = [f"{value:.2f}" for value in error_figures(known)] if known.size else []
            table.add_row(ground, f"{known.size:,}", name, *values)
            ground = ""
    return table


def draw(folder: Path, errors: dict[str, Heights]) -> Path:
    """Draw picture.png: light on the heights above, canopy map and errors below."""
    figure = Figure(figsize=(11, 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 3)
    light = {"before": "before: COP30, 30 m", "dem": "after: jspsr, 8 m", "truth": "truth"}
    for axis, (name, title) in zip(above, light.items(), strict=True):
        shade = LightSource().hillshade(read(folder / f"{name}.tif"), dx=RESOLUTION, dy=RESOLUTION, vert_exag=2)
        axis.imshow(shade, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title)
    canopy = below[0].imshow(read(folder / "canopy.tif"), cmap="Greens")
    below[0].set_title("guide: canopy map")
    figure.colorbar(canopy, ax=below[0], location="bottom", shrink=0.8, label="metres, as wrong as the global map")
    for axis, (name, error) in zip(below[1:], errors.items(), strict=True):
        shown = axis.imshow(error, cmap="RdBu_r", vmin=-ERROR, vmax=ERROR)
        axis.set_title(f"{name}: error")
    figure.colorbar(shown, ax=below[1:], location="bottom", shrink=0.4, label="height minus truth in metres")
    for axis in (*above, *below):
        axis.set_axis_off()
    figure.savefig(folder / "picture.png", dpi=70)
    return folder / "picture.png"


def main(folder: Path, *, size: int = SIZE) -> int:
    """Make the inputs (`size` pixels of the output a side), enhance them, judge and draw; returns the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"A simulated scene in {folder}/: a 30 m DEM that sees roofs and tree tops, and a canopy map.\n", flush=True)
    scene = make_inputs(folder, size)
    if code := enhance(folder):
        return code
    truth = read(folder / "truth.tif")
    errors = {name: read(folder / f"{file}.tif") - truth for name, file in {"before": "before", "after": "dem"}.items()}
    print()
    Console().print(judge(errors, scene))
    print(f"\n{draw(folder, errors)} shows it.")
    before, after = (float(np.sqrt(np.mean(error**2))) for error in errors.values())
    if not after < before:
        print("The output is no better than the input, or has voids: something is wrong here.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run jspsr on a simulated scene, and judge the result.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"))
    sys.exit(main(parser.parse_args().folder))
