"""The generated ground that the benchmarks work on, of any size, written in pieces."""

import math
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds
from rasterio.windows import Window

CRS = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_000_000.0
GUIDE_METRES = 2.0
ARC_SECOND = 1 / 3600

# Rows of the guide written at once, and the side of its tiles: the usual layout of an orthophoto.
TILE = 512

# Source pixels of the DEM beyond the guide, so that no window ends at its edge.
PADDING = 40


def make_guide(path: Path, *, side: int) -> Path:
    """Write an orthophoto of `side` x `side` pixels at 2 m: fields under noise, tiled and deflated."""
    rng = np.random.default_rng(1)
    x = np.arange(side)
    layout = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    tiles = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "bigtiff": "if_safer"}
    place = {"crs": CRS, "transform": Affine(GUIDE_METRES, 0, WEST, 0, -GUIDE_METRES, NORTH)}
    with rasterio.open(path, "w", driver="GTiff", **layout, **tiles, **place) as dataset:
        for row in range(0, side, TILE):
            height = min(TILE, side - row)
            y = np.arange(row, row + height)[:, None]
            fields = 100 + 60 * np.sin(x / 190) * np.cos(y / 230)
            colours = fields + rng.integers(0, 40, (3, height, side))
            dataset.write(colours.astype(np.uint8), window=Window(0, row, side, height))
    return path


def make_dem(path: Path, *, side: int) -> Path:
    """Write a DEM like GLO-30 (1", EPSG:4326, float32) under the whole guide of `side` pixels."""
    reach = side * GUIDE_METRES
    box = transform_bounds(CRS, "EPSG:4326", WEST, NORTH - reach, WEST + reach, NORTH, densify_pts=21)
    west = (math.floor(box[0] / ARC_SECOND) - PADDING - 0.5) * ARC_SECOND
    north = (math.ceil(box[3] / ARC_SECOND) + PADDING - 0.5) * ARC_SECOND
    width = math.ceil((box[2] - west) / ARC_SECOND) + PADDING
    height = math.ceil((north - box[1]) / ARC_SECOND) + PADDING
    x, y = np.meshgrid(np.arange(width) * 22.0, np.arange(height) * 31.0)
    heights = 150 + 30 * np.sin(x / 311) * np.cos(y / 273) + 12 * np.sin((x + 2 * y) / 97) + x / 400
    layout = {"width": width, "height": height, "count": 1, "dtype": "float32", "compress": "deflate"}
    place = {"crs": "EPSG:4326", "transform": Affine(ARC_SECOND, 0, west, 0, -ARC_SECOND, north)}
    with rasterio.open(path, "w", driver="GTiff", **layout, **place) as dataset:
        dataset.write(heights.astype(np.float32), 1)
    return path
