"""Exact pixels of source rasters, with the voids marked as NaN."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.opening import open_raster
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.types import BoolArray, FloatArray

# Open files kept at once: a mosaic may have thousands of tiles, a process only some hundred handles.
MAX_OPEN = 32

# Pixels that tell two files of the same name apart: squares of this side at this many places along each axis.
FINGERPRINT_SIDE, FINGERPRINT_PLACES = 16, 3

# Pixels that are averaged in one go where rows are stored whole, half of GDAL's cache: of more it reads all of them
# again and again, which took 28 s instead of 2 s for 10,000 x 5,000.
PIXELS_AT_ONCE = 2**23


class RasterReader:
    """Reads windows of files, keeping the last few open. Use as a context manager; for one thread at a time."""

    def __init__(self) -> None:
        self._cancelled = False
        self._open: OrderedDict[tuple[str, int | None], DatasetReader] = OrderedDict()

    def __enter__(self) -> "RasterReader":
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def cancel(self) -> None:
        """Let the next read fail: from another thread, to end a long piece of work that is no longer wanted."""
        self._cancelled = True

    def _dataset(self, file: RasterFile) -> DatasetReader:
        key = (file.path, file.overview)
        if key not in self._open:
            options = {} if file.overview is None else {"overview_level": file.overview}
            try:
                self._open[key] = open_raster(file.path, **options)
            except GDAL_ERRORS as error:
                raise ReadFailed(f"{file.path} cannot be opened any more: {reason(error)}.", path=file.path) from error
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def read(self, file: RasterFile, window: Window, *, shape: tuple[int, int] | None = None) -> FloatArray:
        """Pixels of `file.bands` in `window` (which lies inside the file), decimated to `shape` if that is given.

        Returns float32 (bands, rows, columns); a pixel that is nodata in every band, transparent, masked, or
        not finite in any band is NaN in all of them.

        Raises:
            ReadFailed: the pixels cannot be read, though the file could be opened, or reading was cancelled.
        """
        if self._cancelled:
            raise ReadFailed(f"{file.path} is no longer read.")
        rows = self._rows_at_once(file)
        if shape is None and window.height > rows:
            return np.concatenate([self.read(file, part) for part in _bands(window, rows)], axis=1)
        parts = [self._read(single, window, shape=shape) for single in file.stack or (file,)]
        values, valid, blank = zip(*parts, strict=True)
        pixels: FloatArray = values[0] if len(values) == 1 else np.concatenate(values)
        pixels[:, ~np.logical_and.reduce(valid) | np.logical_and.reduce(blank)] = np.nan
        factor, summand = file.scaling
        if (factor, summand) != (1.0, 0.0):
            pixels = (pixels.astype(np.float64) * factor + summand).astype(np.float32)
        return pixels

    def _rows_at_once(self, file: RasterFile) -> int:
        """Rows of `file`, if its pixels are averages, whose blocks stay in GDAL's cache."""
        if file.reduction == (1.0, 1.0):
            return file.height
        dataset = self._dataset(file.stack[0] if file.stack else file)
        return max(1, int(max(dataset.block_shapes[0][0], PIXELS_AT_ONCE // dataset.width) / file.reduction[1]))

    def _read(
        self, file: RasterFile, window: Window, *, shape: tuple[int, int] | None
    ) -> tuple[FloatArray, BoolArray, BoolArray]:
        """Values of one file (decimated to `shape`), where all can be used, and where all bands are nodata."""
        source, shape, resampling = _averaging(file, window, shape)
        try:
            dataset = self._dataset(file)
            values: FloatArray = dataset.read(
                list(file.bands), window=source, out_shape=shape and (len(file.bands), *shape), resampling=resampling
            )
            with np.errstate(over="ignore"):  # float64 nodata beyond float32 becomes infinite, and so a void
                values = values.astype(np.float32, copy=False)
            valid = np.asarray(np.isfinite(values).all(axis=0))
            if file.alpha is not None:
                valid &= dataset.read(file.alpha, window=source, out_shape=shape, resampling=resampling) != 0
            elif file.masked:
                valid &= dataset.read_masks(1, window=source, out_shape=shape, resampling=resampling) != 0
        except GDAL_ERRORS as error:
            raise ReadFailed(f"{file.path} broke off while being read: {reason(error)}.", path=file.path) from error
        nodata = [file.nodata[band - 1] for band in file.bands]
        if any(value is None for value in nodata):
            return values, valid, np.zeros_like(valid)
        with np.errstate(over="ignore"):
            sentinel = np.array(nodata, dtype=np.float64).astype(np.float32)[:, None, None]
        blank: BoolArray = (values == sentinel).all(axis=0)
        return values, valid, blank

    def fingerprint(self, file: RasterFile, clean: Callable[[FloatArray], FloatArray] = lambda pixels: pixels) -> str:
        """Short digest of where the file lies and of some of its pixels, after `clean`.

        Tells files of the same name apart; independent of folders, of times, and of what lies under voids.
        """
        digest = hashlib.sha256(repr((file.bounds, file.width, file.height, file.bands)).encode())
        for pixels in self.squares(file, side=FINGERPRINT_SIDE, places=FINGERPRINT_PLACES):
            digest.update(clean(pixels).tobytes())
        return digest.hexdigest()[:16]

    def squares(self, file: RasterFile, *, side: int, places: int) -> Iterator[FloatArray]:
        """Squares of `side` pixels at `places` along each axis, from corner to corner: see `read`."""
        height, width = min(side, file.height), min(side, file.width)
        for row in np.linspace(0, file.height - height, places).astype(int):
            for col in np.linspace(0, file.width - width, places).astype(int):
                yield self.read(file, Window(int(col), int(row), width, height))

    def sample(self, file: RasterFile, side: int) -> FloatArray:
        """The whole file decimated to at most `side` pixels a side: float32 (bands, pixels), voids left out."""
        step = max(1, math.ceil(max(file.height, file.width) / side))
        shape = (math.ceil(file.height / step), math.ceil(file.width / step))
        values = self.read(file, Window(0, 0, file.width, file.height), shape=shape)
        return values[:, ~np.isnan(values[0])]


def _bands(window: Window, rows: int) -> Iterator[Window]:
    """`window` in parts of at most `rows`, from north to south."""
    for first in range(0, window.height, rows):
        height = min(rows, window.height - first)
        yield Window(window.col_off, window.row_off + first, window.width, height)


def _averaging(
    file: RasterFile, window: Window, shape: tuple[int, int] | None
) -> tuple[Window, tuple[int, int] | None, Resampling]:
    """The pixels in the file itself of a `window` of `file`, the shape to read them in, and how they come to it."""
    across, down = file.reduction
    if (across, down) == (1, 1):
        return window, shape, Resampling.nearest
    source = Window(window.col_off * across, window.row_off * down, window.width * across, window.height * down)
    return source, shape or (window.height, window.width), Resampling.average
