"""Opening rasters that others made: what a name promises is checked, and a picture leads nowhere else.

GDAL looks at what is in a file, not at its name: `photo.tif` may hold the text of a VRT, which names any file of this
machine and any address, and these are read. See SECURITY.md.
"""

import math
import os
import re
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from jspsr_cli.errors import UnreadableRaster
from jspsr_cli.raster.gdal import GDAL_ERRORS

# Formats that hold their pixels themselves, by the endings of names that promise them. Whatever has another name is
# left to GDAL with all its formats, also those of pointers (VRT, WMS, STAC ...): such names are their users' choice.
SELF_CONTAINED = {".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

# Bytes that GDAL holds to give one pixel: a block, and that of all bands where they are stored together. The whole of
# an orthophoto in one strip is legitimate while it fits; a few bytes of a header can ask for any number.
LARGEST_BLOCK = 2**29

# A form of GDAL's that names a format itself, such as WMTS:https://..., but not a page of a TIFF; no Windows drive.
_FORMAT_NAMED = re.compile(r"(?!GTIFF_)[A-Z][A-Z0-9_]+:|vrt:")

# What GDAL adds to the name of a raster for its overviews and its mask, in any case, and to theirs.
_SIDECAR = re.compile(r"(\.(ovr|msk))+")

# Of a folder with more files (it says 1000) GDAL reads no list, and asks for these names alone.
MOST_LISTED, _EXACT = 2000, (".ovr", ".OVR", ".msk", ".MSK")

# Lets GDAL look at nothing but the file itself.
_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


def open_raster(path: str | Path, **options: Any) -> DatasetReader:
    """Open `path` (a file, URL or GDAL virtual path) for reading, in the format that its name promises.

    Raises:
        UnreadableRaster: it leads to another file, or its blocks are larger than can be read.
        GDAL_ERRORS: it cannot be opened.
    """
    name = str(path)
    driver = promised(name)
    try:
        beside = _sidecars(name) if driver else ()
        _check_beside(beside or ())
        with rasterio.Env(**_ALONE) if beside is None else nullcontext():
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
    return None if _FORMAT_NAMED.match(path) else SELF_CONTAINED.get(ending_of(path))


def ending_of(path: str) -> str:
    """The ending of a path or URL in small letters, with its dot."""
    return PurePosixPath(urlsplit(path).path if "://" in path else path).suffix.lower()


def _sidecars(name: str) -> list[str] | None:
    """Overviews and masks beside a raster; None where nobody can look: in archives, on servers, in closed folders."""
    if not os.path.isfile(name):
        return None
    folder, own = os.path.split(name)
    try:
        with os.scandir(folder or os.curdir) as entries:
            names = [entry.name for entry in islice(entries, MOST_LISTED + 1)]
    except OSError:
        return None
    if len(names) > MOST_LISTED:
        found = [f"{name}{ending}" for ending in _EXACT if os.path.isfile(f"{name}{ending}")]
        return found + [further for path in found for further in _sidecars(path) or ()]
    beside = (entry for entry in names if entry.lower().startswith(own.lower()))
    return [os.path.join(folder, entry) for entry in beside if _SIDECAR.fullmatch(entry.lower(), len(own.lower()))]


def _check_beside(sidecars: Iterable[str]) -> None:
    """Raise UnreadableRaster where overviews or masks are no TIFF, as GDAL would read a VRT, or lead elsewhere."""
    for path in sidecars:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # they lie where their raster does
                dataset = rasterio.open(path, driver="GTiff")
        except GDAL_ERRORS as error:
            raise UnreadableRaster(f"{path} is no TIFF, as what GDAL keeps beside a raster is: remove it.") from error
        with dataset:
            _check_overviews(dataset, path)


def check_opened(dataset: DatasetReader, name: str) -> None:
    """Raise UnreadableRaster where reading a raster would lead elsewhere or fill the memory; `name` is for messages."""
    if promised(name):
        _check_overviews(dataset, name)
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


def _check_overviews(dataset: DatasetReader, name: str) -> None:
    """Raise UnreadableRaster where a raster names the file that holds its overviews: any, of any format."""
    try:
        tags = dataset.tags(ns="OVERVIEWS")
    except UnicodeDecodeError as error:
        raise not_text(name) from error
    for key, value in tags.items():
        if key.upper() == "OVERVIEW_FILE":
            raise UnreadableRaster(
                f"{name} says that its overviews lie in another place, {value:.80}, which is not read: write it anew "
                "with gdal_translate."
            )
