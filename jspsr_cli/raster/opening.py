"""Opening rasters that others made: what a name promises is checked, and a picture leads nowhere else.

GDAL looks at what is in a file, not at its name: `photo.tif` may hold the text of a VRT, which names any file of this
machine and any address, and these are read. See SECURITY.md.
"""

import math
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.io import DatasetReader

from jspsr_cli.errors import UnreadableRaster

# Formats that hold their pixels themselves, by the endings of names that promise them. Whatever has another name is
# left to GDAL with all its formats, also those of pointers (VRT, WMS, STAC ...): such names are their users' choice.
SELF_CONTAINED = {".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

# Bytes that GDAL holds to give one pixel: a block, and that of all bands where they are stored together. The whole of
# an orthophoto in one strip is legitimate while it fits; a few bytes of a header can ask for any number.
LARGEST_BLOCK = 2**29

# A form of GDAL's that names a format itself, such as WMTS:https://..., but not a page of a TIFF; no Windows drive.
_FORMAT_NAMED = re.compile(r"(?!GTIFF_)[A-Z][A-Z0-9_]+:|vrt:")

# Where GDAL finds the file that holds the overviews of another, before the name of one beside it.
_BESIDE = ":::BASE:::"


def open_raster(path: str | Path, **options: Any) -> DatasetReader:
    """Open `path` (a file, URL or GDAL virtual path) for reading, in the format that its name promises.

    Raises:
        UnreadableRaster: it leads to another file, or its blocks are larger than can be read.
        GDAL_ERRORS: it cannot be opened.
    """
    name = str(path)
    driver = promised(name)
    if driver:
        _check_beside(name)
    try:
        dataset = rasterio.open(name, **({"driver": driver} if driver else {}), **options)
    except UnicodeDecodeError as error:
        raise not_text(name) from error
    try:
        check_opened(dataset, name)
    except UnreadableRaster:
        dataset.close()
        raise
    return dataset


def not_text(name: str) -> UnreadableRaster:
    """What is to be raised where rasterio cannot decode a name or a tag."""
    return UnreadableRaster(
        f"{name} names its CRS, or has tags, in no UTF-8: write it anew with gdal_translate -a_srs."
    )


def promised(path: str) -> str | None:
    """The format of the ending of `path`, if that is of one that holds its pixels itself."""
    if _FORMAT_NAMED.match(path):
        return None
    place = urlsplit(path).path if "://" in path else path
    return SELF_CONTAINED.get(PurePosixPath(place).suffix.lower())


def _check_beside(name: str) -> None:
    """Raise UnreadableRaster where overviews or a mask beside a raster are no TIFF: GDAL would read a VRT there."""
    for path in (f"{name}.ovr", f"{name}.msk"):
        if os.path.isfile(path):  # Path's own raises where a name becomes too long for the file system
            with open(path, "rb") as file:
                start = file.read(2)
            if start not in (b"II", b"MM"):
                raise UnreadableRaster(f"{path} is no TIFF, as what GDAL keeps beside a raster is: remove it.")


def check_opened(dataset: DatasetReader, name: str) -> None:
    """Raise UnreadableRaster where reading a raster would lead elsewhere or fill the memory; `name` is for messages."""
    try:
        overviews = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", "")
    except UnicodeDecodeError as error:
        raise not_text(name) from error
    if promised(name) and re.search(r"[/\\:]", overviews.removeprefix(_BESIDE)):
        raise UnreadableRaster(
            f"{name} says that its overviews lie in another place, {overviews:.80}, which is not read: write it "
            "anew with gdal_translate."
        )
    if not dataset.count:
        return
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    size = math.prod(dataset.block_shapes[0]) * np.dtype(dataset.dtypes[0]).itemsize * together
    if size > LARGEST_BLOCK:
        height, width = dataset.block_shapes[0]
        raise UnreadableRaster(
            f"{name} is stored in blocks of {width} x {height} pixels, of which one takes {size / 1e6:,.0f} MB: "
            "write it anew with gdal_translate -co TILED=YES, unless it is damaged."
        )
