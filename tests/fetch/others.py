"""Blocks of FABDEM and tiles of canopy height in the true layout of their archives."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window, from_bounds

from tests.fetch.archive import ground
from tests.scenes import Array

#: Web mercator: half its side in metres, and a pixel of the canopy map.
HALF = 20_037_508.342789244
METRES = 1.194328566955879

#: What a tile of FABDEM is, if no test says otherwise.
PROFILE = {"compress": "lzw", "tiled": True, "blockxsize": 256, "blockysize": 256}


def degrees(south: int, west: int) -> str:
    return f"{'S' if south < 0 else 'N'}{abs(south):02d}{'W' if west < 0 else 'E'}{abs(west):03d}"


def fabdem_name(south: int, west: int) -> str:
    return f"{degrees(south, west)}_FABDEM_V1-2.tif"


def save_fabdem(path: Path, south: int, west: int, box: Sequence[float], **profile: Any) -> Path:
    """A tile with `ground` within `box`, and no data elsewhere."""
    place = Affine(1 / 3600, 0, west - 0.5 / 3600, 0, -1 / 3600, south + 1 + 0.5 / 3600)
    layout = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": -9999.0,
              "width": 3600, "height": 3600, "transform": place, "sparse_ok": True}  # fmt: skip
    with rasterio.open(path, "w", **{**layout, **PROFILE, **profile}) as dataset:
        window = from_bounds(*box, transform=place).round_lengths().round_offsets()
        window = window.intersection(Window(0, 0, 3600, 3600))
        t = rasterio.windows.transform(window, place)
        cols, rows = np.meshgrid(np.arange(window.width) + 0.5, np.arange(window.height) + 0.5)
        dataset.write(ground(t.a * cols + t.c, t.e * rows + t.f).astype(dataset.dtypes[0]), 1, window=window)
    return path


def save_block(
    path: Path, tiles: Mapping[tuple[int, int], Sequence[float]], *, compression: int = zipfile.ZIP_STORED,
    comment: bytes = b"", folder: str = "", **profile: Any,
) -> Path:  # fmt: skip
    """A zip file of tiles, each with ground in a box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as block:
        block.comment = comment
        block.writestr(f"{folder}other.bin", bytes(400_000))
        for (south, west), box in tiles.items():
            tile = save_fabdem(path.with_name("tile.tif"), south, west, box, **profile)
            block.write(tile, folder + fabdem_name(south, west))
            tile.unlink()
    return path


def quadkey(x: int, y: int, zoom: int = 9) -> str:
    """By the definition, one binary digit of each coordinate at a time."""
    pairs = zip(f"{x:0{zoom}b}", f"{y:0{zoom}b}", strict=True)
    return "".join(str(int(right) + 2 * int(below)) for right, below in pairs)


def canopy_path(bucket: Path, x: int, y: int) -> Path:
    return bucket / "forests/v1/alsgedi_global_v6_float/chm" / f"{quadkey(x, y)}.tif"


def save_canopy(bucket: Path, x: int, y: int, values: Array, *, row: int, col: int, **profile: Any) -> Path:
    """A tile of the map with `values`, their first pixel at `row` and `col` of the whole map, as far as they are in it.

    What is in no block is not stored, and so 0.
    """
    path = canopy_path(bucket, x, y)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Affine(METRES, 0, x * 65_536 * METRES - HALF, 0, -METRES, HALF - y * 65_536 * METRES)
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:3857", "width": 65_536, "height": 65_536,
              "transform": place, "sparse_ok": True, "tiled": True, "blockxsize": 512, "blockysize": 512,
              "compress": "deflate"}  # fmt: skip
    top, left = row - y * 65_536, col - x * 65_536
    rows, cols = (slice(max(0, -first), min(length, 65_536 - first)) for first, length in
                  zip((top, left), values.shape, strict=True))  # fmt: skip
    with rasterio.open(path, "w", **{**layout, **profile}) as dataset:
        part = values[rows, cols]
        dataset.write(part, 1, window=Window(left + cols.start, top + rows.start, part.shape[1], part.shape[0]))
    return path
