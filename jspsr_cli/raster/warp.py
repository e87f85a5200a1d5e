"""Source pixels in memory, sampled to another lattice by GDAL's warp.

Two of its defaults would make a pixel depend on the block it is computed in: the tolerance of the approximated
transformation (0.125 source pixel) and the kernel scale, which it estimates for each block. Both are fixed here.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import FloatArray

# In source pixels; three times as much would save a quarter to a half of a warp, and cuts would show in the last
# digits. 0, GDAL's word for exact, raises in rasterio 1.4.4.
TOLERANCE = 1e-6


class Place(NamedTuple):
    """A lattice of source pixels that is sampled to, as a `Grid` is; its CRS need not be in metres."""

    crs: CRS
    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class SourceBlock:
    """Source pixels in memory: float32 (bands, rows, columns), NaN = void, and where they lie."""

    pixels: FloatArray
    crs: CRS
    transform: Affine
    path: str

    def warp(self, place: Grid | Place, resampling: Resampling) -> FloatArray:
        """Sample to `place`; by a warped VRT, as `rasterio.warp.reproject` (1.4.4) takes no tolerance."""
        if resampling is Resampling.average and (means := self.means(place)) is not None:
            return means
        count, height, width = self.pixels.shape
        centre = None if place.crs == self.crs else self._seam()
        layout = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "float32"}
        origin = {"crs": self.crs, "transform": self.transform, "nodata": np.nan}
        target = {"crs": place.crs, "transform": place.transform, "width": place.width, "height": place.height}
        fixed = {"tolerance": TOLERANCE, "XSCALE": "1", "YSCALE": "1"}
        try:
            with MemoryFile() as memory:
                with memory.open(**layout, **origin) as dataset:
                    dataset.write(self.pixels)
                with (
                    memory.open() as dataset,
                    WarpedVRT(dataset, **target, resampling=resampling, nodata=np.nan, **fixed) as warped,
                ):
                    values: FloatArray = warped.read() if centre is None else _read_around(centre, warped)
        except GDAL_ERRORS as error:
            raise ReadFailed(f"{self.path} cannot be warped to the target grid: {reason(error)}.") from error
        return values

    def means(self, place: Grid | Place) -> FloatArray | None:
        """Means over the source pixels in each pixel of `place`, NaN left out, where those are whole ones; else None.

        GDAL's averaging comes to the same in several times the time, if all that `place` covers is given to it.
        """
        whole = self._whole_pixels(place)
        if whole is None:
            return None
        count, height, width = self.pixels.shape
        down, across = len(whole[0]) // place.height, len(whole[1]) // place.width
        rows, columns = _reached(whole[0], down, height), _reached(whole[1], across, width)
        means = np.full((count, place.height, place.width), np.nan, dtype=np.float32)
        if rows and columns:
            below = whole[0][rows.start * down : rows.stop * down]
            beside = whole[1][columns.start * across : columns.stop * across]
            part = block_means(self._padded(below, beside), height=len(rows), width=len(columns))
            means[:, rows.start : rows.stop, columns.start : columns.stop] = part
        return means

    def _padded(self, rows: range, columns: range) -> FloatArray:
        """Pixels of `rows` and `columns`, which may lie beyond these: there they are NaN."""
        _, height, width = self.pixels.shape
        top, bottom = max(0, -rows.start), max(0, rows.stop - height)
        left, right = max(0, -columns.start), max(0, columns.stop - width)
        pixels = self.pixels
        if any((top, bottom, left, right)):
            pixels = np.pad(pixels, ((0, 0), (top, bottom), (left, right)), constant_values=np.nan)
        return pixels[:, rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]

    def _whole_pixels(self, place: Grid | Place) -> tuple[range, range] | None:
        """Rows and columns under `place` where each of its pixels holds a whole number of pixels."""
        if place.crs != self.crs:
            return None
        onto = ~self.transform * place.transform
        whole = Affine(round(onto.a), 0, round(onto.c), 0, round(onto.e), round(onto.f))
        corners = ((0, 0), (place.width, 0), (place.width, place.height))
        off = max(abs(a - b) for corner in corners for a, b in zip(onto * corner, whole * corner, strict=True))
        (left, top), (right, bottom) = whole * corners[0], whole * corners[2]
        if off > TOLERANCE or not (left < right and top < bottom):
            return None
        return range(int(top), int(bottom)), range(int(left), int(right))

    def _seam(self) -> float | None:
        """Longitude of the middle, if the pixels lie across the antimeridian."""
        if not self.crs.is_geographic:
            return None
        _, height, width = self.pixels.shape
        lons = [(self.transform * corner)[0] for corner in ((0, 0), (width, 0), (0, height), (width, height))]
        return (min(lons) + max(lons)) / 2 if max(map(abs, lons)) > TURN / 2 else None


def _reached(span: range, step: int, size: int) -> range:
    """Which pieces of `span`, `step` long each, hold some of the first `size` numbers."""
    first = max(0, -span.start // step)
    return range(first, max(first, min(len(span) // step, -((span.start - size) // step))))


def block_means(pixels: FloatArray, *, height: int, width: int) -> FloatArray:
    """Means (bands, `height`, `width`) of equal blocks of `pixels` (bands, rows, columns), NaN left out."""
    bands, rows, _ = pixels.shape

    def totals(values: NDArray[Any]) -> FloatArray:
        down = values.reshape(bands, height, rows // height, -1).sum(axis=2, dtype=np.float64)
        across: FloatArray = down.reshape(bands, height, width, -1).sum(axis=3)
        return across

    known = ~np.isnan(pixels)
    with np.errstate(invalid="ignore"):  # 0 / 0 where all are NaN
        if known.all():
            means = totals(pixels) / (pixels.size // (bands * height * width))
        else:
            means = totals(np.where(known, pixels, 0)) / totals(known)
    found: FloatArray = means.astype(np.float32)
    return found


def _read_around(centre: float, warped: WarpedVRT) -> FloatArray:
    """Pixels of `warped`, the longitudes of its source counted within 180 degrees of `centre`.

    GDAL's transformation can do that and rasterio (1.4.4) does not ask for it; the file of a virtual raster can.
    """
    with MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(warped, file.name, driver="VRT")
        text = file.read().decode()
    option = f'<Options><Option key="CENTER_LONG">{centre!r}</Option></Options>'
    with rasterio.open(text.replace("</ReprojectionTransformer>", f"{option}</ReprojectionTransformer>")) as dataset:
        values: FloatArray = dataset.read()
        return values
