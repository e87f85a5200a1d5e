"""Polygons of `--geometry`: the area that is worked on."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.affinity
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import geometry_mask

from jspsr_cli.errors import InputError, MissingCRS
from jspsr_cli.raster.boxes import TURN, turns_together
from jspsr_cli.raster.gdal import reason
from jspsr_cli.raster.grid import Grid, horizontal
from jspsr_cli.raster.vectors import check_vector
from jspsr_cli.types import BoolArray, Bounds, FloatArray

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

    def clipped(self, box: Bounds) -> "Area":
        """What of the polygon lies in `box`, in its CRS; all of it, where nothing does."""
        part = shapely.clip_by_rect(self.shape, *box)
        return Area(part, self.crs) if part.area else self

    @property
    def digest(self) -> str:
        """Short digest of the polygon and its CRS."""
        return hashlib.sha256(shapely.to_wkb(self.shape) + self.crs.to_wkt().encode()).hexdigest()[:16]

    def inside(self, part: Grid) -> BoolArray:
        """Pixels of `part` (same CRS) whose centre lies in the polygon: (rows, columns)."""
        shape = (part.height, part.width)
        mask: BoolArray = geometry_mask([self.shape], out_shape=shape, transform=part.transform, invert=True)
        return mask

    def holds(self, x: FloatArray, y: FloatArray) -> BoolArray:
        """Whether points of its CRS lie in the polygon."""
        held: BoolArray = shapely.contains_xy(self.shape, x, y)
        return held


def read_area(path: str) -> Area:
    """All polygons of the first layer of a vector file as one.

    Raises:
        InputError: unreadable, without a polygon, or as `check_vector`.
        MissingCRS: no CRS in the file.
    """
    check_vector(path)
    import pyogrio  # with geopandas, where that is installed: half a second that only polygons are worth
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with warnings.catch_warnings():
            # The option is of GML, which else leaves a file beside its own; other formats say that they lack it. What
            # else is said of shapes shows in what is read.
            warnings.simplefilter("ignore", RuntimeWarning)
            meta, _, shapes, _ = pyogrio.raw.read(path, columns=[], layer=0, WRITE_GFS="NO")
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a vector file: {reason(error)}.") from error
    if not meta["crs"]:
        raise MissingCRS(f"{path} has no CRS: assign one with ogr2ogr -a_srs.")
    try:
        with np.errstate(invalid="ignore"):  # of coordinates that are no numbers, which no polygon outlives
            found = [g for g in shapely.from_wkb(shapes) if g is not None]
    except shapely.GEOSException as error:
        raise InputError(f"{path} holds a shape that is none: {reason(error)}.") from error
    polygons = [g for g in shapely.get_parts(found) if g.geom_type.endswith("Polygon")]
    if not polygons:
        raise InputError(f"{path} holds no polygon: the area to work on must be one.")
    crs = horizontal(CRS.from_user_input(meta["crs"]))
    try:
        valid = _put_in_order(np.array(polygons))
    except shapely.GEOSException as error:
        raise InputError(f"The polygons of {path} cannot be put in order: {reason(error)}.") from error
    parts = [part for part in shapely.get_parts(valid) if part.area]
    united = shapely.union_all(_in_one_piece(parts) if crs.is_geographic and parts else parts)
    if united.area == 0:
        raise InputError(f"The polygons of {path} are empty: the area to work on must have some size.")
    return Area(united, crs)


def _put_in_order(polygons: NDArray[Any]) -> NDArray[Any]:
    """`polygons` made valid: a hole that touches the rim stays a hole, and where parts overlap there is none."""
    ways = {"method": "structure", "keep_collapsed": False}
    valid: NDArray[Any] = shapely.make_valid(polygons, **ways)
    # GEOS makes ground of a hole that lies outside of its polygon.
    wrong = ~shapely.is_valid(polygons)
    rims = shapely.make_valid(shapely.polygons(shapely.get_exterior_ring(polygons[wrong])), **ways)
    valid[wrong] = shapely.intersection(valid[wrong], rims)
    return valid


def _in_one_piece(parts: Sequence[shapely.Geometry]) -> list[shapely.Geometry]:
    """Polygons in degrees that were cut at the antimeridian, as RFC 7946 wants it, on one side of it."""
    turns = turns_together([part.bounds for part in parts])
    return [shapely.affinity.translate(part, count * TURN) for part, count in zip(parts, turns, strict=True)]
