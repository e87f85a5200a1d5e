"""Polygons of `--geometry`: the area that is worked on."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyogrio
import pyproj
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.features import geometry_mask

from jspsr_cli.errors import InputError, MissingCRS
from jspsr_cli.raster.gdal import reason
from jspsr_cli.raster.grid import Grid, horizontal
from jspsr_cli.types import BoolArray, Bounds

# A straight edge in one CRS is a curve in another: it is projected with this many points at least.
EDGE_POINTS = 100


@dataclass(frozen=True)
class Area:
    """A polygon, holes included, in `crs`."""

    shape: shapely.Geometry
    crs: CRS

    @property
    def bounds(self) -> Bounds:
        """Box around the polygon in its CRS."""
        west, south, east, north = self.shape.bounds
        return west, south, east, north

    def to(self, crs: CRS) -> "Area":
        """The polygon in another CRS."""
        if crs == self.crs:
            return self
        west, south, east, north = self.bounds
        step = max(east - west, north - south) / EDGE_POINTS
        project = pyproj.Transformer.from_crs(self.crs.to_wkt(), crs.to_wkt(), always_xy=True).transform
        dense = shapely.segmentize(self.shape, step)
        return Area(shapely.transform(dense, lambda xy: np.stack(project(*xy.T), axis=1)), crs)

    @property
    def digest(self) -> str:
        """Short digest of the polygon and its CRS."""
        return hashlib.sha256(shapely.to_wkb(self.shape) + self.crs.to_wkt().encode()).hexdigest()[:16]

    def inside(self, part: Grid) -> BoolArray:
        """Pixels of `part` (same CRS) whose centre lies in the polygon: (rows, columns)."""
        shape = (part.height, part.width)
        mask: BoolArray = geometry_mask([self.shape], out_shape=shape, transform=part.transform, invert=True)
        return mask


def read_area(path: str) -> Area:
    """All polygons of the first layer of a vector file as one.

    Raises:
        InputError: unreadable, or without a polygon.
        MissingCRS: no CRS in the file.
    """
    try:
        meta, _, shapes, _ = pyogrio.raw.read(path, columns=[], layer=0)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a vector file: {reason(error)}.") from error
    if not meta["crs"]:
        raise MissingCRS(f"{path} has no CRS: assign one with ogr2ogr -a_srs.")
    polygons = [g for g in shapely.from_wkb(shapes) if g is not None and g.geom_type.endswith("Polygon")]
    if not polygons:
        raise InputError(f"{path} holds no polygon: the area to work on must be one.")
    united = shapely.union_all(shapely.make_valid(np.array(polygons)))
    if united.is_empty or united.area == 0:
        raise InputError(f"The polygons of {path} are empty: the area to work on must have some size.")
    return Area(united, horizontal(CRS.from_user_input(meta["crs"])))
