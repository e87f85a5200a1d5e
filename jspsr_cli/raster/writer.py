"""The output: a Cloud Optimized GeoTIFF that appears whole under its name or not at all."""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from filelock import FileLock, Timeout
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as gdal_copy
from rasterio.windows import Window

from jspsr_cli.errors import JspsrError, OutputExists, OutputNotWritable, WriteFailed
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import FloatArray

NODATA = -9999.0

# Side of a tile. Whole rows of tiles are written, so that no tile is compressed twice.
TILE = 512

# Bytes on disk for each pixel while the output is made: the uncompressed 4 of the working file, its copy with
# overviews (4 x 4/3), and the overviews' own temporary file (4/3 of a quarter). Compression saves about half of
# all that; a disk that runs full after hours is worse than a warning too early.
DISK_BYTES_PER_PIXEL = 4 + 4 * 4 / 3 + 4 / 3

COMPRESSION = {"compress": "deflate", "predictor": 3, "tiled": True, "blockxsize": TILE, "blockysize": TILE}

# Lock in OUT.partial: it says that the folder is ours, and, while a process holds it, that it is in use. A killed
# process holds nothing.
MARKER = "jspsr.lock"

# What GDAL and GIS programs keep beside a raster: of the old one, it would describe the new one wrongly.
SIDECARS = (".aux.xml", ".ovr", ".msk")


def partial_folder(output: Path) -> Path:
    """Where the unfinished work for `output` lies."""
    return output.with_name(output.name + ".partial")


def check_disk(output: Path, grid: Grid) -> None:
    """Raise OutputNotWritable where the disk of `output` has too little room for `grid`."""
    need = int(grid.width * grid.height * DISK_BYTES_PER_PIXEL)
    free = shutil.disk_usage(output.parent).free
    if need > free:
        raise OutputNotWritable(
            f"{output.parent} has {free / 1e6:,.0f} MB free and the work may need {need / 1e6:,.0f} MB: "
            "free some, write elsewhere, or choose a smaller area."
        )


def is_output_of(output: Path, grid: Grid, tags: Mapping[str, str], *, made_of: Sequence[str]) -> bool:
    """Whether `output` exists with this grid and these tags, and is younger than the files it was `made_of`."""
    try:
        with rasterio.open(output) as dataset:
            place = (dataset.crs, dataset.transform, dataset.width, dataset.height)
            found = dataset.tags()
    except GDAL_ERRORS:
        return False
    made = output.stat().st_mtime
    same = place == (grid.crs, grid.transform, grid.width, grid.height)
    younger = all(os.stat(path).st_mtime <= made for path in made_of)
    return same and younger and all(found.get(key) == value for key, value in tags.items())


class OutputWriter:
    """Takes rows of heights from north to south; `publish` makes the file appear.

    Use as a context manager: what was not published leaves nothing behind. Entering raises OutputNotWritable where
    the folder takes no files, and OutputExists where the working folder is taken or in use.
    """

    def __init__(self, output: Path, grid: Grid, *, tags: Mapping[str, str]) -> None:
        self._output = output
        self._grid = grid
        self._tags = tags
        self._folder = partial_folder(output)
        self._work = self._folder / "heights.tif"
        self._lock = FileLock(self._folder / MARKER)
        self._pending: list[FloatArray] = []
        self._pending_rows = 0
        self._next = 0
        self._dataset: DatasetWriter

    def __enter__(self) -> "OutputWriter":
        if self._folder.exists() and not (self._folder / MARKER).exists():
            raise OutputExists(f"{self._folder} is needed for unfinished work and is not ours: move it away.")
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock.acquire(blocking=False)
            self._dataset = self._create()
        except Timeout as error:
            raise OutputExists(f"Another jspsr is working on {self._output}: wait for it, or end it.") from error
        except BaseException as error:
            if self._lock.is_locked:  # else the folder may be another's
                self._remove()
            if isinstance(error, GDAL_ERRORS):
                raise OutputNotWritable(f"{self._output} cannot be written: {reason(error)}.") from error
            raise
        return self

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    def _create(self) -> DatasetWriter:
        grid = self._grid
        size = {"width": grid.width, "height": grid.height, "count": 1, "dtype": "float32", "nodata": NODATA}
        place = {"crs": grid.crs, "transform": grid.transform}
        dataset = rasterio.open(self._work, "w", driver="GTiff", bigtiff="if_safer", **size, **place, **COMPRESSION)
        dataset.update_tags(**self._tags)
        dataset.set_band_description(1, "bare-earth elevation")
        dataset.set_band_unit(1, "metre")
        return dataset

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(*GDAL_ERRORS):  # on a full disk: what is thrown away need not be flushed
            self._dataset.close()
        self._remove()

    def write(self, rows: FloatArray) -> None:
        """Append `rows` (rows, columns) in metres; NaN becomes nodata.

        Raises:
            WriteFailed: the disk is full, or the folder went away.
        """
        self._pending.append(np.where(np.isnan(rows), NODATA, rows).astype(np.float32))
        self._pending_rows += len(rows)
        last = self._next + self._pending_rows == self._grid.height
        whole = self._pending_rows if last else self._pending_rows // TILE * TILE
        if not whole:
            return
        block = np.concatenate(self._pending)
        try:
            self._dataset.write(block[:whole], 1, window=Window(0, self._next, self._grid.width, whole))
        except GDAL_ERRORS as error:
            raise WriteFailed(f"{self._output} cannot be written: {reason(error)}.") from error
        self._next += whole
        self._pending = [block[whole:]]
        self._pending_rows -= whole

    def publish(self) -> None:
        """Turn the working file into the COG and give it its name.

        Raises:
            JspsrError: rows are missing.
            WriteFailed: the disk is full, or the folder went away.
        """
        if self._next != self._grid.height:
            raise JspsrError(f"Only {self._next} of {self._grid.height} rows were written; this is a bug in jspsr.")
        finished = self._folder / "finished.tif"
        overviews = {"overviews": "IGNORE_EXISTING", "overview_resampling": "AVERAGE"}
        layout = {"compress": "DEFLATE", "predictor": "FLOATING_POINT", "blocksize": TILE, "bigtiff": "IF_SAFER"}
        try:
            self._dataset.close()
            gdal_copy(self._work, finished, driver="COG", **layout, **overviews)
            with finished.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(finished, self._output)
            for ending in SIDECARS:
                self._output.with_name(self._output.name + ending).unlink(missing_ok=True)
        except GDAL_ERRORS as error:
            raise WriteFailed(f"{self._output} cannot be written: {reason(error)}.") from error
