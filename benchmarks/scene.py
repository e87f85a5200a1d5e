"""The generated ground that the benchmarks work on, of any size, written in pieces.

python -m benchmarks.scene FOLDER WIDTH HEIGHT    writes it, WIDTH x HEIGHT pixels of the guide
"""

import math
import sys
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from benchmarks.processes import measure

CRS = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_000_000.0
GUIDE_METRES = 2.0
ARC_SECOND = 1 / 3600

# Rows of the guide written at once, and the side of its tiles: the usual layout of an orthophoto.
TILE = 512

# Source pixels of the DEM beyond the guide, so that no window ends at its edge.
PADDING = 40


def make_scene(folder: Path, *, width: int, height: int) -> list[str]:
    """Write DEM and guide, and return their paths; in a process of its own, as those measured begin with our peak."""
    paths = _paths(folder, width, height)
    if not all(path.exists() for path in paths):
        measure(["-m", "benchmarks.scene", str(folder), str(width), str(height)])
    return [str(path) for path in paths]


def _paths(folder: Path, width: int, height: int) -> tuple[Path, Path]:
    return folder / f"dem-{width}x{height}.tif", folder / f"guide-{width}x{height}.tif"


def make_guide(path: Path, *, width: int, height: int) -> None:
    """Write an orthophoto of `width` x `height` pixels at 2 m: fields under noise, tiled and deflated."""
    rng = np.random.default_rng(1)
    x = np.arange(width)
    layout = {"width": width, "height": height, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    tiles = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "bigtiff": "if_safer"}
    place = {"crs": CRS, "transform": Affine(GUIDE_METRES, 0, WEST, 0, -GUIDE_METRES, NORTH)}
    with rasterio.open(path, "w", driver="GTiff", **layout, **tiles, **place) as dataset:
        for row in range(0, height, TILE):
            rows = min(TILE, height - row)
            y = np.arange(row, row + rows)[:, None]
            fields = 100 + 60 * np.sin(x / 190) * np.cos(y / 230)
            colours = fields + rng.integers(0, 40, (3, rows, width))
            dataset.write(colours.astype(np.uint8), window=Window(0, row, width, rows))


def make_dem(path: Path, *, width: int, height: int) -> None:
    """Write a DEM like GLO-30 (1", EPSG:4326, float32) under the whole guide of `width` x `height` pixels."""
    south, east = NORTH - height * GUIDE_METRES, WEST + width * GUIDE_METRES
    box = transform_bounds(CRS, "EPSG:4326", WEST, south, east, NORTH, densify_pts=21)
    west = (math.floor(box[0] / ARC_SECOND) - PADDING - 0.5) * ARC_SECOND
    north = (math.ceil(box[3] / ARC_SECOND) + PADDING - 0.5) * ARC_SECOND
    columns = math.ceil((box[2] - west) / ARC_SECOND) + PADDING
    rows = math.ceil((north - box[1]) / ARC_SECOND) + PADDING
    x, y = np.meshgrid(np.arange(columns) * 22.0, np.arange(rows) * 31.0)
    heights = 150 + 30 * np.sin(x / 311) * np.cos(y / 273) + 12 * np.sin((x + 2 * y) / 97) + x / 400
    layout = {"width": columns, "height": rows, "count": 1, "dtype": "float32", "compress": "deflate"}
    place = {"crs": "EPSG:4326", "transform": Affine(ARC_SECOND, 0, west, 0, -ARC_SECOND, north)}
    with rasterio.open(path, "w", driver="GTiff", **layout, **place) as dataset:
        dataset.write(heights.astype(np.float32), 1)


if __name__ == "__main__":
    side, down = map(int, sys.argv[2:])
    dem, guide = _paths(Path(sys.argv[1]), side, down)
    make_dem(dem, width=side, height=down)
    make_guide(guide, width=side, height=down)
