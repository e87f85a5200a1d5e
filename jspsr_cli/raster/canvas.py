"""Bare float32 rows of a raster in a file, painted in any order: what `writer.publish` makes an output of."""

from pathlib import Path
from types import TracebackType

import numpy as np

from jspsr_cli.raster.writer import NODATA
from jspsr_cli.types import FloatArray


class Canvas:
    """`height` rows of `width` pixels in a file, all 0 at first, little-endian. Use as a context manager."""

    def __init__(self, path: Path, *, height: int, width: int) -> None:
        self._width = width
        self._file = path.open("wb")
        self._file.truncate(4 * height * width)

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def paint(self, values: FloatArray, *, row: int, col: int) -> None:
        """Put `values` (rows, columns; NaN for nodata) where their first pixel is at `row`, `col`."""
        stored = np.where(np.isnan(values), np.float32(NODATA), values).astype("<f4")
        if stored.shape[1] == self._width:
            stored = stored.reshape(1, -1)
        for i, line in enumerate(stored):
            self._file.seek(4 * ((row + i) * self._width + col))
            self._file.write(line.tobytes())
