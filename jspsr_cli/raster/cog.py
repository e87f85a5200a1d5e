"""Where in a Cloud Optimized GeoTIFF the pixels of a window lie, told by its first bytes alone."""

import errno
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from jspsr_cli.errors import UnreadableRaster, WrongTile
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.opening import check_opened

# Pixels along a side of a block: GDAL holds whole blocks in memory, and those of COGs have 256 to 1024.
LARGEST_BLOCK = 4096


@dataclass(frozen=True)
class CogLayout:
    """What the header of a COG says; `blocks` are offset and length in bytes of those that a window needs.

    `block_bytes` are those of one block without compression.
    """

    crs: CRS
    transform: Affine
    width: int
    height: int
    count: int
    dtype: str
    compression: str
    block_bytes: int
    blocks: tuple[tuple[int, int], ...]


def read_layout(path: Path, window: Window, *, name: str) -> CogLayout:
    """The layout of a file of which the header is there, and the blocks under `window`; `name` is for messages.

    Blocks that were left out since nothing is in them are not among those.

    Raises:
        WrongTile: no GeoTIFF, or one whose header is not in front, or blocks that cannot be.
    """
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            check_opened(dataset, str(path))
            height, width = dataset.block_shapes[0]
            if max(height, width) > LARGEST_BLOCK:
                raise WrongTile(f"{name} has blocks of {width} x {height} pixels: it is not what its name says.")
            size = height * width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
            return CogLayout(
                crs=dataset.crs,
                transform=dataset.transform,
                width=dataset.width,
                height=dataset.height,
                count=dataset.count,
                dtype=dataset.dtypes[0],
                compression=str(dataset.profile.get("compress", "")).lower(),
                block_bytes=size,
                blocks=tuple(_blocks(dataset, window, largest=2 * size, name=name)),
            )
    except UnicodeDecodeError as error:
        raise WrongTile(f"{name} is damaged: it names its CRS in no UTF-8.") from error
    except UnreadableRaster as error:
        raise WrongTile(str(error).replace(str(path), name)) from error
    except GDAL_ERRORS as error:
        why = reason(error).removeprefix(f"{path.name}: ").replace(str(path), "it")
        raise WrongTile(f"{name} is damaged, or no Cloud Optimized GeoTIFF: {why}.") from error


def is_whole(block: bytes, layout: CogLayout) -> bool:
    """Whether a block is as it was written, where its compression tells: GDAL does not look at the sum at its end."""
    if layout.compression != "deflate":
        return True
    stream = zlib.decompressobj()
    try:
        stream.decompress(block, layout.block_bytes + 1)
    except zlib.error:
        return False
    return stream.eof


def check_whole(path: Path) -> None:
    """Raise OSError where blocks of a GeoTIFF lie beyond its end, or rasterio's where it cannot even be opened.

    What is left in the buffers when a file is closed does not fit a full disk, and GDAL closes it without an error.
    """
    with rasterio.open(path, driver="GTiff") as dataset:
        everything = Window(0, 0, dataset.width, dataset.height)
        ends = [sum(block) for block in _blocks(dataset, everything, largest=sys.maxsize, name=path.name)]
    if max(ends, default=0) > path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _blocks(dataset: DatasetReader, window: Window, *, largest: int, name: str) -> list[tuple[int, int]]:
    height, width = dataset.block_shapes[0]
    found = []
    for row in range(window.row_off // height, -(-(window.row_off + window.height) // height)):
        for col in range(window.col_off // width, -(-(window.col_off + window.width) // width)):
            offset, length = (
                int(dataset.get_tag_item(f"BLOCK_{item}_{col}_{row}", "TIFF", bidx=1) or 0)
                for item in ("OFFSET", "SIZE")
            )
            if length > largest:
                raise WrongTile(f"{name} has a block of {length} bytes: it is damaged.")
            if length:
                found.append((offset, length))
    return found
