"""From source pixels to the target grid, once, and the same wherever the work is cut.

GDAL's warp does the arithmetic. Two of its defaults would make a pixel depend on the block it is computed in: the
tolerance of the approximated transformation (0.125 source pixel) and the kernel scale, which it estimates for
each block. Both are fixed here, as is the area that the change of datum is chosen for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform
from rasterio.windows import Window

from jspsr_cli.errors import NoOverlap, ReadFailed
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import WGS84, WIDE_DEGREES, Grid, project_bounds, unite
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.types import FloatArray

# In source pixels; 0, GDAL's word for exact, raises in rasterio 1.4.4.
TOLERANCE = 1e-6

# Source pixels around what a block needs: 2 for the bicubic kernel, 4 for the search of flat water, 1 for the
# tolerance and for datum shifts that differ between PROJ's operations.
MARGIN = 8

# Source pixels of one block, so that a 10 cm orthophoto under a wide strip does not fill the memory: 3 float32
# bands of this size are 24 MB.
BLOCK_SOURCE_PIXELS = 2_000_000
MIN_BLOCK, MAX_BLOCK = 1, 1024

# Points per side at which a block's footprint in the source is probed.
PROBES = 9

Prepare = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Sampling:
    """How a kind of raster goes to the target grid.

    `finer` is used where source pixels are smaller than the target's, `coarser` elsewhere. `prepare` changes source
    pixels (bands, rows, columns; NaN = void) before sampling.
    """

    finer: Resampling
    coarser: Resampling
    prepare: Prepare


def pixel_size(mosaic: Mosaic, grid: Grid) -> float:
    """Side in metres of a source pixel of `mosaic`, seen on the target grid.

    Measured at the middle of the source, so that it is the same for every run; where that has no place in the
    target CRS, or is far from it (a world mosaic), at the middle of the grid.
    """
    hull = mosaic.hull
    west, south, east, north = grid.bounds
    target = transform(grid.crs, mosaic.crs, [(west + east) / 2], [(south + north) / 2])
    there = ~mosaic.transform * (target[0][0], target[1][0])
    middle = (hull.col_off + hull.width / 2, hull.row_off + hull.height / 2)
    # Far from its own zone a projection still gives numbers, which are thousands of times too large.
    wide = hull.width * abs(mosaic.transform.a) > WIDE_DEGREES and mosaic.crs.is_geographic
    for col, row in (there, middle) if wide else (middle, there):
        corners = [mosaic.transform * c for c in ((col, row), (col + 1, row), (col, row + 1))]
        try:
            xs, ys = transform(mosaic.crs, grid.crs, *zip(*corners, strict=True))
        except GDAL_ERRORS:
            continue
        area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
        if math.isfinite(area) and area != 0:
            return math.sqrt(abs(area))
    raise NoOverlap(f"{mosaic.files[0].name} has no place in the target CRS.")


class AlignedLayer:
    """One input, of one file or many, seen on the target grid.

    `grid` is the target; `prepare` of the sampling may change the number of bands to `bands`.
    """

    def __init__(
        self,
        mosaics: Sequence[Mosaic],
        grid: Grid,
        *,
        reader: RasterReader,
        sampling: Sampling,
        bands: int | None = None,
    ) -> None:
        self.grid = grid
        self.bands = bands or len(mosaics[0].files[0].bands)
        self._reader = reader
        self._sampling = sampling
        self._mosaics = [(m, pixel_size(m, grid), _area_of_interest(m)) for m in mosaics]
        self._target_size = math.sqrt(grid.resolution[0] * grid.resolution[1])
        finest = min(size for _, size, _ in self._mosaics)
        side = math.sqrt(BLOCK_SOURCE_PIXELS) * finest / self._target_size
        self._block = max(MIN_BLOCK, min(MAX_BLOCK, int(side)))

    def empty(self, height: int, width: int) -> FloatArray:
        """Pixels without data: (bands, height, width)."""
        return np.full((self.bands, height, width), np.nan, dtype=np.float32)

    def read(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Pixels of the target grid from `row`, `col` on, which may lie beyond its edges.

        Returns float32 (bands, height, width), NaN where the input has no data.

        Raises:
            ReadFailed: a source broke off, or GDAL cannot warp it.
        """
        result = self.empty(height, width)
        for top in range(0, height, self._block):
            for left in range(0, width, self._block):
                part = result[:, top : top + self._block, left : left + self._block]
                block = self.grid.part(row + top, col + left, *part.shape[1:])
                for mosaic, size, area in self._mosaics:
                    missing = np.isnan(part[0])
                    if not missing.any():
                        break
                    values = self._warp(mosaic, block, size, area)
                    if values is not None and missing.all():
                        part[...] = values
                    elif values is not None:
                        part[:, missing] = values[:, missing]
        return result

    def _warp(self, mosaic: Mosaic, block: Grid, size: float, area: str) -> FloatArray | None:
        source = self._source(mosaic, area, block)
        if source is None:
            return None
        void = np.isnan(source.pixels[0])
        if void.all():
            return None
        if size < self._target_size:
            return source.warp(block, self._sampling.finer)
        values = self._completed(source, mosaic).warp(block, self._sampling.coarser)
        if void.any():
            # Interpolation reaches a pixel into voids: the data end where the source pixel below is void.
            covered = replace(source, pixels=np.where(void, np.nan, np.float32(1))[None])
            values[:, np.isnan(covered.warp(block, Resampling.nearest)[0])] = np.nan
        return values

    def _source(self, mosaic: Mosaic, area: str, place: "Grid | _Place") -> "_SourceBlock | None":
        """Prepared pixels of `mosaic` that `place` needs, voids beyond its edge among them."""
        window = _footprint(mosaic, place)
        if window is None:
            return None
        pixels = self._sampling.prepare(mosaic.read(self._reader, window))
        shift = Affine.translation(window.col_off, window.row_off)
        return _SourceBlock(pixels, mosaic.crs, mosaic.transform * shift, area, mosaic.files[0].path)

    def _completed(self, source: "_SourceBlock", mosaic: Mosaic) -> "_SourceBlock":
        """`source` with its voids taken from the other mosaics, so that the kernel sees both sides of an edge.

        Between 50 and 85 degrees GLO-30 changes its columns four times: tiles on both sides are two mosaics.
        """
        pixels = source.pixels
        for other, _, area in self._mosaics:
            void = np.isnan(pixels[0])
            if other is mosaic or not void.any():
                continue
            place = _Place(source.crs, source.transform, void.shape[1], void.shape[0])
            beside = self._source(other, area, place)
            if beside is not None and not np.isnan(beside.pixels[0]).all():
                sampled = beside.warp(place, self._sampling.coarser)
                pixels = np.where(void, sampled, pixels)
        return replace(source, pixels=pixels)


class _Place(NamedTuple):
    """A lattice of source pixels that is sampled to, as a `Grid` is; its CRS need not be in metres."""

    crs: CRS
    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class _SourceBlock:
    """Source pixels in memory: float32 (bands, rows, columns), NaN = void, and where they lie."""

    pixels: FloatArray
    crs: CRS
    transform: Affine
    area_of_interest: str
    path: str

    def warp(self, place: "Grid | _Place", resampling: Resampling) -> FloatArray:
        """Sample to `place`; by a warped VRT, as `rasterio.warp.reproject` (1.4.4) takes no tolerance."""
        count, height, width = self.pixels.shape
        layout = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "float32"}
        origin = {"crs": self.crs, "transform": self.transform, "nodata": np.nan}
        target = {"crs": place.crs, "transform": place.transform, "width": place.width, "height": place.height}
        fixed = {"tolerance": TOLERANCE, "XSCALE": "1", "YSCALE": "1", "AREA_OF_INTEREST": self.area_of_interest}
        try:
            with MemoryFile() as memory:
                with memory.open(**layout, **origin) as dataset:
                    dataset.write(self.pixels)
                with (
                    memory.open() as dataset,
                    WarpedVRT(dataset, **target, resampling=resampling, nodata=np.nan, **fixed) as warped,
                ):
                    values: FloatArray = warped.read()
        except GDAL_ERRORS as error:
            raise ReadFailed(f"{self.path} cannot be warped to the target grid: {reason(error)}.") from error
        return values


def _area_of_interest(mosaic: Mosaic) -> str:
    """Longitudes and latitudes of the whole source, which PROJ's choice of datum shift is bound to."""
    box = unite([project_bounds(file.bounds, file.crs, WGS84) for file in mosaic.files])
    west, south, east, north = (max(-180, box[0]), max(-90, box[1]), min(180, box[2]), min(90, box[3]))
    return f"{west!r},{south!r},{east!r},{north!r}"


def _apply(t: Affine, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _footprint(mosaic: Mosaic, place: Grid | _Place) -> Window | None:
    """Source pixels that `place` needs, or None where the mosaic has none of them.

    It reaches `MARGIN` pixels beyond the edge of the mosaic: GDAL treats what is void otherwise than what is outside,
    and an edge must not depend on what else is there.
    """
    xs = np.linspace(0, place.width, PROBES)
    ys = np.linspace(0, place.height, PROBES)
    cols, rows = np.meshgrid(xs, ys)
    try:
        x, y = transform(place.crs, mosaic.crs, *_apply(place.transform, cols.ravel(), rows.ravel()))
    except GDAL_ERRORS:
        return None
    col, row = _apply(~mosaic.transform, np.asarray(x), np.asarray(y))
    seen = np.isfinite(col) & np.isfinite(row)
    if not seen.any():
        return None
    hull = mosaic.hull
    left, right = math.floor(col[seen].min()) - MARGIN, math.ceil(col[seen].max()) + MARGIN
    top, bottom = math.floor(row[seen].min()) - MARGIN, math.ceil(row[seen].max()) + MARGIN
    if left >= hull.col_off + hull.width or right <= hull.col_off:
        return None
    if top >= hull.row_off + hull.height or bottom <= hull.row_off:
        return None
    left, right = max(left, hull.col_off - MARGIN), min(right, hull.col_off + hull.width + MARGIN)
    top, bottom = max(top, hull.row_off - MARGIN), min(bottom, hull.row_off + hull.height + MARGIN)
    return Window(left, top, right - left, bottom - top)
