"""From source pixels to the target grid, once, and the same wherever the work is cut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import transform
from rasterio.windows import Window

from jspsr_cli.errors import NoOverlap, TooFine
from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.gdal import GDAL_ERRORS
from jspsr_cli.raster.grid import WIDE_DEGREES, Grid, project_points
from jspsr_cli.raster.mosaic import Mosaic, around
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.warp import Place, SourceBlock
from jspsr_cli.types import FloatArray

# Source pixels around what a block needs: 2 for the bicubic kernel, 4 for the search of flat water, 1 for the
# tolerance and for datum shifts that differ between PROJ's operations.
MARGIN = 8

# Source pixels of one block, so that a 10 cm orthophoto under a wide strip does not fill the memory: 3 float32
# bands of this size are 24 MB.
BLOCK_SOURCE_PIXELS = 2_000_000
MIN_BLOCK, MAX_BLOCK = 1, 1024

# Source pixels along a target pixel, at most: one target pixel is the smallest block, and 9 million source pixels in
# three float32 bands are 108 MB. 5 cm under 100 m are 2,000; else a header could ask for any amount of memory.
MOST_BELOW = 3000

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
    target = project_points(grid.crs, mosaic.crs, [(west + east) / 2], [(south + north) / 2])
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
        self._mosaics = [(m, pixel_size(m, grid)) for m in around(mosaics, grid)]
        self._target_size = math.sqrt(grid.resolution[0] * grid.resolution[1])
        finest = min(size for _, size in self._mosaics)
        if finest * MOST_BELOW < self._target_size:
            names = " or ".join(sorted({m.files[0].name for m, size in self._mosaics if size == finest}))
            raise TooFine(
                f"{names} has pixels of {finest:.2g} m, too many in one of {self._target_size:.3g} m of the output: "
                "check its georeferencing, or average it first with gdalwarp -r average."
            )
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
                for mosaic, size in self._mosaics:
                    missing = np.isnan(part[0])
                    if not missing.any():
                        break
                    values = self._warp(mosaic, block, size)
                    if values is not None and missing.all():
                        part[...] = values
                    elif values is not None:
                        part[:, missing] = values[:, missing]
        return result

    def _warp(self, mosaic: Mosaic, block: Grid, size: float) -> FloatArray | None:
        # GDAL averages nothing where the middle of a target pixel lies beyond what it is given.
        source = self._source(mosaic, block, rim=max(MARGIN, math.ceil(self._target_size / size / math.sqrt(2)) + 1))
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

    def _source(self, mosaic: Mosaic, place: Grid | Place, *, rim: int = MARGIN) -> SourceBlock | None:
        """Prepared pixels of `mosaic` that `place` needs, voids up to `rim` pixels beyond its edge among them."""
        found = _footprint(mosaic, place, rim=rim)
        if found is None:
            return None
        window, turns = found
        pixels = self._sampling.prepare(mosaic.read(self._reader, window))
        first_pixel = mosaic.transform * Affine.translation(window.col_off, window.row_off)
        transform = Affine.translation(-turns * TURN, 0) * first_pixel
        return SourceBlock(pixels, mosaic.crs, transform, mosaic.files[0].path)

    def _completed(self, source: SourceBlock, mosaic: Mosaic) -> SourceBlock:
        """`source` with its voids taken from the other mosaics, so that the kernel sees both sides of an edge.

        Between 50 and 85 degrees GLO-30 changes its columns four times: tiles on both sides are two mosaics.
        """
        pixels = source.pixels
        for other, _ in self._mosaics:
            void = np.isnan(pixels[0])
            if other is mosaic or not void.any():
                continue
            place = Place(source.crs, source.transform, void.shape[1], void.shape[0])
            beside = self._source(other, place)
            if beside is not None and not np.isnan(beside.pixels[0]).all():
                sampled = beside.warp(place, self._sampling.coarser)
                pixels = np.where(void, sampled, pixels)
        return replace(source, pixels=pixels)


def _apply(t: Affine, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _footprint(mosaic: Mosaic, place: Grid | Place, *, rim: int) -> tuple[Window, int] | None:
    """Source pixels that `place` needs, or None where the mosaic has none of them.

    It reaches up to `rim` pixels beyond the edge of the mosaic: GDAL treats what is void otherwise than what is
    outside, and an edge must not depend on what else is there. With it the turns by which longitudes of the mosaic
    are ahead of those that PROJ gives for `place`.
    """
    xs = np.linspace(0, place.width, PROBES)
    ys = np.linspace(0, place.height, PROBES)
    cols, rows = np.meshgrid(xs, ys)
    try:
        x, y = transform(place.crs, mosaic.crs, *_apply(place.transform, cols.ravel(), rows.ravel()))
    except GDAL_ERRORS:
        return None
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return None
    hull, turns = mosaic.hull, 0
    lon, lat = np.asarray(x)[seen], np.asarray(y)[seen]
    if mosaic.crs.is_geographic:
        lon, turns = _in_one_turn(lon, mosaic.middle[0])
    col, row = _apply(~mosaic.transform, lon, lat)
    left, right = math.floor(col.min()) - MARGIN, math.ceil(col.max()) + MARGIN
    top, bottom = math.floor(row.min()) - MARGIN, math.ceil(row.max()) + MARGIN
    if left >= hull.col_off + hull.width or right <= hull.col_off:
        return None
    if top >= hull.row_off + hull.height or bottom <= hull.row_off:
        return None
    left, right = max(left, hull.col_off - rim), min(right, hull.col_off + hull.width + rim)
    top, bottom = max(top, hull.row_off - rim), min(bottom, hull.row_off + hull.height + rim)
    return Window(left, top, right - left, bottom - top), turns


def _in_one_turn(lons: FloatArray, middle: float) -> tuple[FloatArray, int]:
    """Longitudes of one place without a jump at the antimeridian, shifted by whole turns to near `middle`.

    Also the turns of that shift for the first of them. Around a pole they stay as they are: all the way round.
    """
    near = lons + TURN * np.round((lons[0] - lons) / TURN)
    if np.ptp(near) > TURN / 2:
        return lons, 0
    turns = round((middle - lons[0]) / TURN)
    return near + turns * TURN, turns
