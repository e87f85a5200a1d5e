"""`jspsr enhance` beside what others offer for it: MONAI's sliding windows, GDAL's warp, rio-cogeo.

    python benchmarks/others.py [--pixels N | WIDTHxHEIGHT] [--features F]... [--repeat N]

A script in the straightforward way reads all, gives it to `monai.inferers.sliding_window_inference` (MONAI is not among
the dependencies: pip install monai) with the plain network, windows of 128 that overlap as in `enhance`, 4 at a time,
and writes a GeoTIFF. Whole processes, in turn; without MONAI they are left out.

Alignment in `enhance`, which reads window by window and looks at more of the DEM than the output, and its conversion to
a COG stand beside GDAL's warp of the whole, as `gdalwarp` calls it (cubic, average), and `rio cogeo create`. Medians.
"""

import argparse
import json
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.processes import Usage, machine, make_weights, measure, said
from benchmarks.run import size_of, stage_times
from benchmarks.scene import make_scene
from jspsr_cli.limits import DEFAULT_OVERLAP

METRES = 8.0

Grid = tuple[Any, Any, int, int]


def grid_of(guide: str) -> Grid:
    """CRS, transform, width and height of the output: the guide, in whole pixels of 8 m."""
    import rasterio
    from affine import Affine

    with rasterio.open(guide) as dataset:
        factor = METRES / dataset.transform.a
        width, height = (int(side / factor) for side in (dataset.width, dataset.height))
        return dataset.crs, dataset.transform * Affine.scale(factor), width, height


def warped(path: str, grid: Grid, resampling: str) -> Any:
    """All bands of a raster on `grid`, by GDAL's warp of the whole."""
    import numpy as np
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    crs, transform, width, height = grid
    with rasterio.open(path) as dataset:
        target = np.empty((dataset.count, height, width), dtype=dataset.dtypes[0])
        reproject(
            rasterio.band(dataset, dataset.indexes), target, dst_crs=crs, dst_transform=transform,
            resampling=Resampling[resampling],
        )  # fmt: skip
    return target


def write(path: str, heights: Any, grid: Grid) -> None:
    """Write heights (rows, columns) in metres as a plain GeoTIFF."""
    import rasterio

    crs, transform, width, height = grid
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as dataset:
        dataset.write(heights, 1)


def script(dem: str, guide: str, weights: str, output: str) -> None:
    """What a user would write around MONAI: all in memory, one base for all."""
    import torch
    from monai.inferers import sliding_window_inference

    from jspsr_cli.scaling import HeightScale, scale_image
    from jspsr_models import default_height_range, load_network

    grid = grid_of(guide)
    heights, image = warped(dem, grid, "cubic"), warped(guide, grid, "average").astype("float32")
    network, info = load_network(weights)
    scale, base = HeightScale(*(info.height_range or default_height_range(METRES))), float(heights.min())
    inputs = torch.cat([torch.from_numpy(scale.scale(heights, base)), torch.from_numpy(scale_image(image))])[None]
    with torch.inference_mode():
        scaled = sliding_window_inference(
            inputs,
            (128, 128),
            4,
            lambda part: network(part[:, :1], image=part[:, 1:]),
            overlap=DEFAULT_OVERLAP,
            mode="gaussian",
        )
    assert isinstance(scaled, torch.Tensor)
    write(output, scale.unscale(scaled.numpy(), base)[0, 0].astype("float32"), grid)


def gdal(dem: str, guide: str, folder: str) -> None:
    """Print seconds (wall clock, CPU) of GDAL's warp of both rasters, and of rio-cogeo."""
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import DEFLATEProfile

    from benchmarks.parts import Times, timed

    times: Times = {}
    grid = grid_of(guide)
    with timed(times, "alignment"):
        heights = warped(dem, grid, "cubic")
        warped(guide, grid, "average")
    plain = f"{folder}/plain.tif"
    write(plain, heights[0], grid)
    profile = DEFLATEProfile(predictor=3)
    with timed(times, "conversion to COG"):
        cog_translate(plain, f"{folder}/cog.tif", profile, quiet=True, overview_resampling="average")
    print(json.dumps({"times": times}))


def row(name: str, runs: list[Usage]) -> str:
    """Median seconds, and the peak."""
    wall, cpu = statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs)
    return f"{name:20}{wall:>8.1f}{cpu:>8.1f}{max(run.peak for run in runs) / 1e6:>8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=size_of, default=(4000, 4000), help="of the 2 m guide (default 4000)")
    parser.add_argument("--features", type=int, action="append", help="width of the network (default 8 and 32)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is taken")
    asked = parser.parse_args()
    print(said(machine()))
    width, height = asked.pixels
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(Path(folder), width=width, height=height)
        print(f"scene    guide {width} x {height} pixels, seconds and peak resident memory in MB\n")
        print(f"{'':20}{'wall':>8}{'CPU':>8}{'peak':>8}")
        for features in asked.features or (8, 32):
            paths = [*scene, make_weights(Path(folder), features)]
            ours: list[Usage] = []
            theirs: list[Usage] = []
            for _ in range(asked.repeat):
                command = ["-m", "jspsr_cli", "enhance", scene[0], "--guide", scene[1], "--weights", paths[2]]
                command += ["-o", f"{folder}/ours.tif", "--device", "cpu", "--overwrite", "--quiet"]
                ours.append(measure(command))
                if find_spec("monai"):
                    theirs.append(measure(["-m", "benchmarks.others", "script", *paths, f"{folder}/theirs.tif"]))
            print(row(f"F = {features}, enhance", ours))
            if theirs:
                print(row(f"F = {features}, MONAI", theirs))
        stages = stage_times(paths, repeat=asked.repeat)
        command = ["-m", "benchmarks.others", "gdal", *scene, folder]
        alone = [json.loads(measure(command).stdout)["times"] for _ in range(asked.repeat)]
        print(f"\n{'seconds of CPU':20}{'enhance':>10}{'GDAL alone':>12}")
        for stage in ("alignment", "conversion to COG"):
            print(f"{stage:20}{stages[stage][1]:>10.2f}{statistics.median(run[stage][1] for run in alone):>12.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["script"]:
        script(*sys.argv[2:])
    elif sys.argv[1:2] == ["gdal"]:
        gdal(*sys.argv[2:])
    else:
        main()
