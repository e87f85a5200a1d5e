"""Scenes that tests make for themselves, of known heights."""

from typing import Any

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS

from jspsr_cli.raster.grid import Grid
from jspsr_cli.simulate.scene import Scene, fine_pixels
from tests.scenes import Array

ZONE = "EPSG:32631"

#: pixels of 8 m of a small sample
SIZE = 32


def grid_at(lat: float, *, lon: float = 4.0, size: int = SIZE, resolution: float = 8.0) -> Grid:
    x, y = pyproj.Transformer.from_crs("EPSG:4326", ZONE, always_xy=True).transform(lon, lat)
    x, y = (round(value / resolution) * resolution for value in (x, y))
    return Grid(CRS.from_string(ZONE), Affine(resolution, 0, x, 0, -resolution, y), size, size)


def plane(x: Array, y: Array) -> Array:
    heights: Array = 200 + 0.11 * x + 0.07 * y
    return heights


def known_scene(*, lat: float = 45.0, size: int = SIZE, **layers: Any) -> Scene:
    """A plane, rising by 0.11 to the east and 0.07 to the north of the sample's corner, with `layers` on it."""
    grid = grid_at(lat, size=size)
    metres, side, margin = fine_pixels(8.0, size)
    along = (np.arange(side) + 0.5 - margin) * metres
    known: dict[str, Any] = {
        "terrain": plane(along, -along[:, None]).astype(np.float32),
        "canopy": np.zeros((side, side), dtype=np.float32),
        "built": np.zeros((side, side), dtype=np.float32),
        "cover": np.zeros((side, side), dtype=np.uint8),
        "water": np.zeros((side, side), dtype=bool),
    }
    return Scene("known", grid, metres, margin, **{**known, **layers})


def truth_of(scene: Scene) -> Array:
    """The plane at the middles of the sample's pixels."""
    step = scene.grid.resolution[0]
    along = (np.arange(scene.grid.width) + 0.5) * step
    return plane(along, -along[:, None])
