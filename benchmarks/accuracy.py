"""Error of `jspsr enhance` against a terrain model, beside that of the bicubic DEM it began with.

    python benchmarks/accuracy.py DEM TRUTH --canopy CHM --weights W [--guide ORTHO] [--mask LANDUSE] [--window N]

TRUTH is a terrain model in metres, averaged to the grid of the output. Both are judged on the pixels that the output
has. The tile-wide bias of a radar DEM is in the figures: no network can see it.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from jspsr_cli import EnhanceOptions, enhance
from jspsr_cli.assess.metrics import error_figures
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers, open_dem
from jspsr_cli.raster.reader import RasterReader

Array = NDArray[Any]


def aligned(path: str, grid: Grid) -> Array:
    """Heights of a DEM on `grid`, as `enhance` aligns them: (rows, columns), NaN for voids."""
    with RasterReader() as reader:
        layers = HeightLayers(open_dem([path]), grid, reader=reader, water=False)
        return np.asarray(layers.heights.read(0, 0, grid.height, grid.width)[0], dtype=np.float64)


def figures(error: Array) -> str:
    """RMSE, mean, median, NMAD and LE95 of errors in metres."""
    rmse, *rest = error_figures(error)
    return "".join(f"{value:9.2f}" for value in (rmse, error.mean(), *rest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dem")
    parser.add_argument("truth")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--guide", action="append", default=[])
    parser.add_argument("--mask", action="append", default=[])
    parser.add_argument("--canopy", action="append", default=[])
    parser.add_argument("--window", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.tif"
        guides = {"image": asked.guide, "mask": asked.mask, "canopy": asked.canopy}
        options = EnhanceOptions(window=asked.window)
        enhance(asked.dem, output=output, weights=asked.weights, options=options, **guides)
        with rasterio.open(output) as dataset:
            grid = Grid(dataset.crs, dataset.transform, dataset.width, dataset.height)
            made = dataset.read(1, masked=True).astype(np.float64).filled(np.nan)
    before, truth = aligned(asked.dem, grid), aligned(asked.truth, grid)
    judged = np.isfinite(made) & np.isfinite(truth)
    print(f"{judged.sum()} pixels of {grid.resolution[0]:g} m; metres")
    print(f"{'':8}{'RMSE':>9}{'mean':>9}{'median':>9}{'NMAD':>9}{'LE95':>9}")
    print(f"bicubic {figures((before - truth)[judged])}")
    print(f"output  {figures((made - truth)[judged])}")


if __name__ == "__main__":
    main()
