"""Samples of a training set: small rasters that lie on the same pixels, read and written whole."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.windows import Window

from jspsr_cli.errors import ReadFailed, WriteFailed
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Grid, name_of
from jspsr_cli.raster.inputs import MAX_CANOPY, MIN_CANOPY, plausible
from jspsr_cli.raster.landuse import CLASS_COUNT, classes_of, classes_of_stack
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, same_lattice
from jspsr_cli.raster.writer import NODATA
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.types import FloatArray
from jspsr_models.files import appearing

# The bands that a guide's layer may have.
GUIDE_BANDS = {"image": (3,), "mask": (1, CLASS_COUNT), "canopy": (1,)}


@dataclass(frozen=True)
class SamplePixels:
    """Pixels of one sample on its grid, (bands, rows, columns).

    `dem` in metres and the guides by name, as `scaling` takes them, are without voids; `truth` and `others` (further
    elevation models by layer) are in metres with NaN for voids.
    """

    dem: FloatArray
    truth: FloatArray
    guides: dict[str, FloatArray]
    others: dict[str, FloatArray]

    def part(self, window: Window) -> "SamplePixels":
        """The pixels in `window`."""
        rows, cols = window.toslices()
        return SamplePixels(
            dem=self.dem[:, rows, cols],
            truth=self.truth[:, rows, cols],
            guides={name: plane[:, rows, cols] for name, plane in self.guides.items()},
            others={name: plane[:, rows, cols] for name, plane in self.others.items()},
        )


def misfit(file: RasterFile, like: RasterFile, *, guide: str | None = None) -> str | None:
    """Why the layer `file` cannot be used with the layer `like` of its sample, or None if it can."""
    bands = GUIDE_BANDS[guide] if guide else (1,)
    if len(file.bands) not in bands:
        return f"has {len(file.bands)} bands, not {' or '.join(map(str, bands))}"
    if (file.width, file.height) != (like.width, like.height):
        return f"is {file.width} x {file.height} pixels, not {like.width} x {like.height}"
    if file.crs != like.crs:
        return f"is in {name_of(file.crs)}, not {name_of(like.crs)}"
    return None if same_lattice(file.with_bands(like.bands), like) and _same_corner(file, like) else "lies elsewhere"


def _same_corner(file: RasterFile, like: RasterFile) -> bool:
    col, row = ~like.transform * (file.transform.c, file.transform.f)
    return (round(col), round(row)) == (0, 0)


def read_sample(
    *,
    dem: RasterFile,
    truth: RasterFile,
    guides: dict[str, RasterFile],
    others: dict[str, RasterFile],
    window: Window | None = None,
) -> SamplePixels:
    """Read all layers of a sample, or what `window` shows of them: the same pixels as those of the whole sample.

    Raises:
        ReadFailed: a layer breaks off, or has no valid pixel at all.
    """
    with RasterReader() as reader:
        return SamplePixels(
            dem=_filled(reader, dem, plausible, window=window),
            truth=plausible(_read(reader, truth, window)),
            guides={
                name: _filled(reader, file, partial(_guide, name, file), window=window) for name, file in guides.items()
            },
            others={name: plausible(_read(reader, file, window)) for name, file in others.items()},
        )


def lowest_height(dem: RasterFile) -> float:
    """The lowest height of a DEM in metres, which is the base of its sample. Raises as `read_sample`."""
    with RasterReader() as reader:
        return float(_filled(reader, dem, plausible).min())


def _read(reader: RasterReader, file: RasterFile, window: Window | None) -> FloatArray:
    return reader.read(file, window or Window(0, 0, file.width, file.height))


def _guide(name: str, file: RasterFile, values: FloatArray) -> FloatArray:
    if name == "mask":
        stacked = len(values) == CLASS_COUNT
        return (classes_of_stack(values, name=file.path) if stacked else classes_of(values[0], name=file.path))[None]
    if name == "canopy":
        known = (values >= MIN_CANOPY) & (values <= MAX_CANOPY)
        grown: FloatArray = np.where(known, np.maximum(values, 0), np.float32(np.nan))
        return grown
    return values


def _filled(
    reader: RasterReader, file: RasterFile, clean: Callable[[FloatArray], FloatArray], *, window: Window | None = None
) -> FloatArray:
    """Pixels without voids, `clean` being what makes voids of values that mean nothing."""
    values = clean(_read(reader, file, window))
    if not np.isnan(values[0]).any():
        return values
    if window is not None:  # what fills a void may lie beyond the window
        rows, cols = window.toslices()
        return _filled(reader, file, clean)[:, rows, cols]
    if np.isnan(values[0]).all():
        raise ReadFailed(f"{file.path} has no valid pixel: take the sample out of the training set.")
    return fill_voids(values)


def write_heights(path: Path, heights: FloatArray, *, like: RasterFile, tags: dict[str, str]) -> None:
    """Write heights in metres (rows, columns), NaN for voids, on the pixels of `like`. Raises as `write_layer`."""
    _write(path, _without_nan(heights)[None], crs=like.crs, transform=like.transform, tags=tags, heights=True)


def write_layer(path: Path, values: NDArray[Any], *, grid: Grid, heights: bool, tags: dict[str, str]) -> None:
    """Write one layer of a sample (bands, rows, columns) on `grid`; `heights` are in metres, NaN for voids.

    The folder is made where it is missing.

    Raises:
        WriteFailed: the disk is full, or the folder cannot be written to.
    """
    pixels = _without_nan(values) if heights else values
    _write(path, pixels, crs=grid.crs, transform=grid.transform, tags=tags, heights=heights)


def _without_nan(heights: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # what is no height becomes infinite, and so a void
        values = heights.astype(np.float32)
    known: FloatArray = np.where(np.isfinite(values), values, np.float32(NODATA))
    return known


def _write(
    path: Path, pixels: NDArray[Any], *, crs: CRS, transform: Affine, tags: dict[str, str], heights: bool
) -> None:
    layout = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype.name}
    profile = {"driver": "GTiff", "compress": "deflate", "nodata": NODATA if heights else None, **layout}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In memory first: on a full disk GDAL closes what is not whole without an error.
        with appearing(path) as part, MemoryFile() as memory:
            with memory.open(crs=crs, transform=transform, **profile) as dataset:
                dataset.write(pixels)
                dataset.update_tags(**tags)
                if heights:
                    dataset.set_band_unit(1, "metre")
            part.write_bytes(memory.getbuffer())
    except GDAL_ERRORS as error:
        raise WriteFailed(f"{path} cannot be written: {reason(error)}.") from error
