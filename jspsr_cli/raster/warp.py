"""Source pixels in memory, sampled to another lattice by GDAL's warp.

Two of its defaults would make a pixel depend on the block it is computed in: the tolerance of the approximated
transformation (0.125 source pixel) and the kernel scale, which it estimates for each block. Both are fixed here.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Grid
from jspsr_cli.types import FloatArray

# In source pixels; 0, GDAL's word for exact, raises in rasterio 1.4.4.
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

    def _seam(self) -> float | None:
        """Longitude of the middle, if the pixels lie across the antimeridian."""
        if not self.crs.is_geographic:
            return None
        _, height, width = self.pixels.shape
        lons = [(self.transform * corner)[0] for corner in ((0, 0), (width, 0), (0, height), (width, height))]
        return (min(lons) + max(lons)) / 2 if max(map(abs, lons)) > TURN / 2 else None


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
