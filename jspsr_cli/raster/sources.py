"""Source rasters: what a file is, and its exact pixels with the voids marked as NaN."""

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import array_bounds
from rasterio.windows import Window

from jspsr_cli.errors import MissingCRS, ReadFailed, UnreadableRaster, WrongBands
from jspsr_cli.raster.grid import Extent, unite
from jspsr_cli.types import Bounds, FloatArray

# Open files kept at once: a mosaic may have thousands of tiles, a process only some hundred handles.
MAX_OPEN = 32

# Tiles whose pixel lattices differ by less than this many pixels are one mosaic.
LATTICE_TOLERANCE = 0.01


@dataclass(frozen=True)
class RasterFile:
    """What has to be known of a raster before reading it.

    `bands` are the 1-based bands that will be read; `alpha` the band of transparency, if any; `overview` the
    index of the overview that stands in for the full resolution (`transform`, `width`, `height` are then its);
    `stack` the files of one band each that are read as one file of several bands.
    """

    path: str
    crs: CRS
    transform: Affine
    width: int
    height: int
    count: int
    dtype: str
    bands: tuple[int, ...]
    nodata: tuple[float | None, ...]
    colours: tuple[str, ...]
    alpha: int | None
    masked: bool
    overviews: tuple[int, ...]
    tags: dict[str, str]
    overview: int | None = None
    stack: tuple["RasterFile", ...] = ()

    @property
    def name(self) -> str:
        """File name without folders."""
        return Path(self.path).name

    @property
    def bounds(self) -> Bounds:
        """Box around all pixels, in the CRS of the file."""
        west, south, east, north = array_bounds(self.height, self.width, self.transform)
        corners = [self.transform * (x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(west, *xs), min(south, *ys), max(east, *xs), max(north, *ys)

    @property
    def extent(self) -> Extent:
        """Bounds and CRS together."""
        return Extent(self.crs, self.bounds, self.name)

    def with_bands(self, bands: Sequence[int]) -> "RasterFile":
        """The same file, reading `bands` (1-based)."""
        if self.stack:
            return stack_bands([self.stack[band - 1] for band in bands])
        return replace(self, bands=tuple(bands))

    def without_nodata(self) -> "RasterFile":
        """The same file with its nodata values taken as numbers."""
        return replace(self, nodata=(None,) * self.count)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Say which raster could not be opened, and GDAL's reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except (RasterioError, OSError) as error:
        empty = Path(path).is_file() and Path(path).stat().st_size == 0
        reason = "the file is empty" if empty else str(error).replace("\n", " ").rstrip(".")
        raise UnreadableRaster(f"{path} cannot be read as a raster: {reason}.") from error


def inspect_raster(path: str, *, overview: int | None = None) -> RasterFile:
    """Open `path` (a file, URL or GDAL virtual path) and note what it is.

    Raises:
        UnreadableRaster: GDAL cannot open it.
        MissingCRS: it has no CRS, or only ground control points.
    """
    options = {} if overview is None else {"overview_level": overview}
    with _readable(path), rasterio.open(path, **options) as dataset:
        if not dataset.crs:
            raise MissingCRS(f"{path} has no CRS: assign the right one, for example with gdal_edit.py -a_srs.")
        if dataset.transform.is_identity and not dataset.gcps[0]:
            raise MissingCRS(f"{path} has a CRS but no georeferencing: its pixels have no place on the ground.")
        colours = tuple(c.name for c in dataset.colorinterp)
        alpha = next((i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha), None)
        flags = dataset.mask_flag_enums[0] if dataset.count else []
        return RasterFile(
            path=path,
            crs=dataset.crs,
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=dataset.dtypes[0],
            bands=tuple(i for i in dataset.indexes if i != alpha),
            nodata=dataset.nodatavals,
            colours=colours,
            alpha=alpha,
            masked=MaskFlags.per_dataset in flags and alpha is None,
            overviews=tuple(dataset.overviews(1)) if overview is None else (),
            tags=dataset.tags(),
            overview=overview,
        )


class RasterReader:
    """Reads windows of files, keeping the last few open. Use as a context manager; not for several threads."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int | None], DatasetReader] = OrderedDict()

    def __enter__(self) -> "RasterReader":
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _dataset(self, file: RasterFile) -> DatasetReader:
        key = (file.path, file.overview)
        if key not in self._open:
            options = {} if file.overview is None else {"overview_level": file.overview}
            with _readable(file.path):
                self._open[key] = rasterio.open(file.path, **options)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def read(self, file: RasterFile, window: Window) -> FloatArray:
        """Pixels of `file.bands` in `window` (which lies inside the file).

        Returns float32 (bands, rows, columns); a pixel that is nodata in every band, transparent, masked, or
        not finite in any band is NaN in all of them.

        Raises:
            ReadFailed: the pixels cannot be read, though the file could be opened.
        """
        if file.stack:
            stacked: FloatArray = np.concatenate([self.read(single, window) for single in file.stack])
            stacked[:, np.isnan(stacked).any(axis=0)] = np.nan
            return stacked
        try:
            dataset = self._dataset(file)
            values: FloatArray = dataset.read(list(file.bands), window=window)
            with np.errstate(over="ignore"):  # float64 nodata beyond float32 becomes infinite, and so a void
                values = values.astype(np.float32, copy=False)
            valid = np.isfinite(values).all(axis=0)
            if file.alpha is not None:
                valid &= dataset.read(file.alpha, window=window) != 0
            elif file.masked:
                valid &= dataset.read_masks(1, window=window) != 0
        except (RasterioError, OSError) as error:
            raise ReadFailed(f"{file.path} broke off while being read: {error}.") from error
        nodata = [file.nodata[band - 1] for band in file.bands]
        if all(value is not None for value in nodata):
            with np.errstate(over="ignore"):
                sentinel = np.array(nodata, dtype=np.float64).astype(np.float32)[:, None, None]
            valid &= (values != sentinel).any(axis=0)
        values[:, ~valid] = np.nan
        return values


@dataclass(frozen=True)
class Mosaic:
    """Files on one lattice of pixels, read as one raster across their edges; the first file wins.

    `transform` belongs to the first file; windows are counted from its first pixel and may be negative.
    """

    files: tuple[RasterFile, ...]

    @property
    def crs(self) -> CRS:
        """CRS of all files."""
        return self.files[0].crs

    @property
    def transform(self) -> Affine:
        """Transform of the first file."""
        return self.files[0].transform

    @cached_property
    def placed(self) -> tuple[tuple[RasterFile, int, int], ...]:
        """Each file with the column and row of its first pixel on the common lattice."""
        inverse = ~self.transform
        corners = [(file, inverse * (file.transform.c, file.transform.f)) for file in self.files]
        return tuple((file, round(col), round(row)) for file, (col, row) in corners)

    @cached_property
    def hull(self) -> Window:
        """Smallest window that holds every file."""
        boxes = [(col, row, col + file.width, row + file.height) for file, col, row in self.placed]
        west, north, east, south = unite(boxes)
        return Window(west, north, east - west, south - north)

    def read(self, reader: RasterReader, window: Window) -> FloatArray:
        """Pixels of `window`: float32 (bands, rows, columns), NaN where no file has data."""
        shape = (len(self.files[0].bands), window.height, window.width)
        result = np.full(shape, np.nan, dtype=np.float32)
        for file, col, row in self.placed:
            left, top = max(window.col_off, col), max(window.row_off, row)
            right = min(window.col_off + window.width, col + file.width)
            bottom = min(window.row_off + window.height, row + file.height)
            if left >= right or top >= bottom:
                continue
            values = reader.read(file, Window(left - col, top - row, right - left, bottom - top))
            rows = slice(top - window.row_off, bottom - window.row_off)
            cols = slice(left - window.col_off, right - window.col_off)
            part = result[:, rows, cols]
            missing = np.isnan(part[0])
            part[:, missing] = values[:, missing]
        return result


def group_mosaics(files: Sequence[RasterFile]) -> tuple[Mosaic, ...]:
    """Gather `files` that share CRS and lattice of pixels into mosaics, in the order given."""
    groups: list[list[RasterFile]] = []
    for file in files:
        for group in groups:
            if _same_lattice(group[0], file):
                group.append(file)
                break
        else:
            groups.append([file])
    return tuple(Mosaic(tuple(group)) for group in groups)


def _same_lattice(first: RasterFile, other: RasterFile) -> bool:
    if first.crs != other.crs or len(first.bands) != len(other.bands):
        return False
    a, b = first.transform, other.transform
    size = max(other.width, other.height)
    scale = max(abs(a.a), abs(a.b), abs(a.d), abs(a.e))
    drift = max(abs(x - y) for x, y in zip((a.a, a.b, a.d, a.e), (b.a, b.b, b.d, b.e), strict=True))
    if drift * size > LATTICE_TOLERANCE * scale:
        return False
    return all(abs(v - round(v)) <= LATTICE_TOLERANCE for v in ~a * (b.c, b.f))


def stack_bands(files: Sequence[RasterFile]) -> RasterFile:
    """Files of one band each, on the same pixels, as one file with their bands in the order given.

    Raises:
        WrongBands: they do not lie on the same pixels.
    """
    first = files[0]
    for other in files[1:]:
        if (other.width, other.height) != (first.width, first.height) or not _same_lattice(first, other):
            raise WrongBands(f"{other.name} and {first.name} are one band each, but not on the same pixels.")
    return replace(first, count=len(files), bands=tuple(range(1, len(files) + 1)), stack=tuple(files))


def with_overview(file: RasterFile, *, pixel_size: float, at_most: float) -> RasterFile:
    """`file`, or the coarsest of its overviews whose pixels are still at most `at_most` metres wide.

    `pixel_size` is that of the file in metres. Imagery only: overviews of heights are of unknown making.
    """
    fitting = [i for i, factor in enumerate(file.overviews) if pixel_size * factor <= at_most]
    if file.stack or not fitting:
        return file
    return inspect_raster(file.path, overview=max(fitting)).with_bands(file.bands)
