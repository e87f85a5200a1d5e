"""The target grid: where every pixel of the output lies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyproj
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform, transform_bounds

from jspsr_cli.errors import InvalidGrid, InvalidOption, NoOverlap
from jspsr_cli.raster.boxes import TURN, intersect, intersect_lonlat
from jspsr_cli.raster.gdal import GDAL_ERRORS
from jspsr_cli.types import Bounds, FloatArray

WGS84 = CRS.from_epsg(4326)

# Edges that are whole multiples of the resolution but for rounding stay where they are.
SNAP_TOLERANCE = 1e-6

# GDAL counts pixels of an axis in 32 bits.
MAX_SIDE = 2**31 - 1

# Beyond this, a "metre" of the projection is too far from a metre on the ground for weights that were trained
# at one ground sampling distance: web mercator at 18 degrees of latitude. UTM is within 0.1 %.
MAX_SCALE_ERROR = 0.05

# Halves of an area differ by far less on a map that shows it in one piece; on a torn one by thousands.
TORN_HALVES = 10.0

# Share of the area's width left away on both sides, so that one that only touches the edge is whole.
TORN_INSET = 1e-6

# UTM is defined between these latitudes; beyond, the polar stereographic pair UPS.
UTM_SOUTH, UTM_NORTH = -80.0, 84.0
UPS_SOUTH, UPS_NORTH = "EPSG:5042", "EPSG:5041"

# A source wider than this (a world mosaic) is cut to the other inputs before its bounds are projected.
WIDE_DEGREES = 20.0


@dataclass(frozen=True)
class Extent:
    """Bounding box of a source in its own CRS."""

    crs: CRS
    bounds: Bounds
    name: str


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid in a projected CRS whose unit is the metre.

    `transform` maps (column, row) of a pixel's upper left corner to CRS coordinates in metres; `width` and
    `height` are in pixels.

    Raises:
        InvalidGrid: rotated, not in metres, or without pixels.
    """

    crs: CRS
    transform: Affine
    width: int
    height: int

    def __post_init__(self) -> None:
        self._check_crs()
        t = self.transform
        if t.b != 0 or t.d != 0 or t.a <= 0 or t.e >= 0:
            raise InvalidGrid("The target grid must be north-up, neither rotated nor flipped.")
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise InvalidGrid(f"A grid of {self.width} x {self.height} pixels cannot be written.")

    def _check_crs(self) -> None:
        if not is_metric(self.crs):
            raise InvalidGrid(
                f"The target CRS {name_of(self.crs)} is not projected in metres: choose one that is with --crs, "
                "for example the local UTM zone."
            )

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixel width and height in metres."""
        return self.transform.a, -self.transform.e

    @property
    def bounds(self) -> Bounds:
        """West, south, east and north edge in CRS coordinates."""
        west, north = self.transform.c, self.transform.f
        return (
            west,
            north + self.height * self.transform.e,
            west + self.width * self.transform.a,
            north,
        )

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the first pixel, counted from the origin of the CRS (rows southwards).

        It anchors the windows: the same ground falls into the same window whatever the bounds of a run.
        """
        xres, yres = self.resolution
        return (
            math.floor(-self.transform.f / yres + SNAP_TOLERANCE),
            math.floor(self.transform.c / xres + SNAP_TOLERANCE),
        )

    def part(self, row: int, col: int, height: int, width: int) -> "Grid":
        """The same lattice of pixels, from `row`, `col` on; may reach beyond this grid on any side."""
        shifted = self.transform * Affine.translation(col, row)
        return replace(self, transform=shifted, width=width, height=height)


class DegreeGrid(Grid):
    """As `Grid`, on a lattice in longitude and latitude that a product is published on: its lengths are degrees.

    For products as they are; what is computed of them has a `Grid` in metres.
    """

    def _check_crs(self) -> None:
        if not self.crs.is_geographic:
            raise InvalidGrid(f"{name_of(self.crs)} is not longitude and latitude.")


def horizontal(crs: CRS) -> CRS:
    """`crs` without its vertical part: heights keep the datum of the DEM, whatever the guide's CRS says."""
    parts = pyproj.CRS.from_wkt(crs.to_wkt())
    if not (parts.is_compound or len(parts.axis_info) > 2):
        return crs
    flat = parts.sub_crs_list[0] if parts.is_compound else parts.to_2d()
    return CRS.from_wkt(flat.to_wkt())


def name_of(crs: CRS) -> str:
    """Short name for messages: `EPSG:32631` where it has one, else its title."""
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else (pyproj.CRS.from_user_input(crs.to_wkt()).name or "unnamed")


def parse_crs(text: str) -> CRS:
    """CRS of an EPSG code, WKT or PROJ string.

    Raises:
        InvalidOption: PROJ does not know it.
    """
    try:
        return horizontal(CRS.from_user_input(text))
    except CRSError as error:
        raise InvalidOption(f"{text[:80]!r} is not a known CRS: give an EPSG code such as EPSG:32631.") from error


def is_metric(crs: CRS) -> bool:
    """Whether `crs` is projected with the metre as its unit."""
    return bool(crs.is_projected) and math.isclose(crs.linear_units_factor[1], 1.0)


def ground_scale(crs: CRS, lonlat: tuple[float, float]) -> float:
    """Length on the map of one metre on the ground at `lonlat` (degrees), in the direction where it is most wrong.

    Not the mean: on an equal-area map of the world that is 1 where a square is four times as wide as high.
    """
    factors = pyproj.Proj(crs.to_wkt()).get_factors(*lonlat)
    return float(max(factors.tissot_semimajor, factors.tissot_semiminor, key=lambda scale: abs(math.log(scale))))


def utm_crs(lonlat: tuple[float, float]) -> CRS:
    """The UTM zone (WGS 84) at `lonlat` in degrees; UPS at the poles."""
    lon, lat = lonlat
    if not UTM_SOUTH <= lat <= UTM_NORTH:
        return CRS.from_string(UPS_NORTH if lat > 0 else UPS_SOUTH)
    lon = (lon + 180) % 360 - 180
    area = pyproj.aoi.AreaOfInterest(lon, lat, lon, lat)
    found = pyproj.database.query_utm_crs_info(datum_name="WGS 84", area_of_interest=area)
    return CRS.from_string(f"EPSG:{found[0].code}")


def project_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """Box around `bounds` after the change of CRS; longitudes go on beyond 180 across the antimeridian.

    Raises:
        NoOverlap: the box has no place in the target CRS.
    """
    if source == target:
        return bounds
    try:
        west, south, east, north = transform_bounds(source, target, *bounds, densify_pts=41)
    except Exception as error:  # rasterio raises several private classes for points that cannot be projected
        raise NoOverlap(f"The area {bounds} cannot be expressed in {name_of(target)}.") from error
    if west > east and target.is_geographic:  # as GDAL, and RFC 7946, write a box across the antimeridian
        east += TURN
    if not all(map(math.isfinite, (west, south, east, north))):
        raise NoOverlap(f"The area {bounds} cannot be expressed in {name_of(target)}.")
    return west, south, east, north


def project_points(
    source: CRS, target: CRS, x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray
) -> tuple[Sequence[float], Sequence[float]]:
    """Coordinates of points after the change of CRS.

    Raises:
        NoOverlap: they have no place in the target CRS.
    """
    try:
        xs, ys = transform(source, target, x, y)
    except GDAL_ERRORS as error:
        raise NoOverlap(f"({x[0]:g}, {y[0]:g}) of {name_of(source)} has no place in {name_of(target)}.") from error
    return xs, ys


def snapped_grid(crs: CRS, resolution: float, bounds: Bounds) -> Grid:
    """The grid of `resolution` metres that covers `bounds`, its edges on whole multiples of the resolution.

    Raises:
        InvalidGrid: see `Grid`.
    """
    if not max(bounds[2] - bounds[0], bounds[3] - bounds[1]) <= MAX_SIDE * resolution:
        raise InvalidGrid("The target grid would have more pixels than a raster can: check --bounds and --resolution.")
    left, bottom = (math.floor(v / resolution + SNAP_TOLERANCE) for v in bounds[:2])
    right, top = (math.ceil(v / resolution - SNAP_TOLERANCE) for v in bounds[2:])
    transform = Affine(resolution, 0, left * resolution, 0, -resolution, top * resolution)
    return Grid(crs, transform, max(right - left, 1), max(top - bottom, 1))


def is_torn(crs: CRS, area: Bounds) -> bool:
    """Whether the edge of a projected `crs` runs through `area` (longitude and latitude).

    Web mercator ends at the antimeridian. Then one half of the area is far longer on the map than the other.
    """
    if not crs.is_projected:
        return False
    west, south, east, north = area
    inset = TORN_INSET * (east - west)
    lons = [west + inset, (west + east) / 2, east - inset]
    xs, ys = project_points(WGS84, crs, lons, [(south + north) / 2] * 3)
    halves = [math.dist((xs[i], ys[i]), (xs[i + 1], ys[i + 1])) for i in (0, 1)]
    return max(halves) > TORN_HALVES * min(halves)


def choose_crs(guide: CRS, *, area: Bounds) -> CRS:
    """The guide's CRS where its unit is a metre on the ground, else the UTM zone of the middle of `area`.

    `area` is in longitude and latitude.
    """
    middle = ((area[0] + area[2]) / 2, (area[1] + area[3]) / 2)
    if is_metric(guide) and abs(ground_scale(guide, middle) - 1) <= MAX_SCALE_ERROR and not is_torn(guide, area):
        return guide
    return utm_crs(middle)


def common_area(extents: Sequence[Extent]) -> Bounds:
    """Longitude and latitude of the box that all `extents` share.

    Raises:
        NoOverlap: there is none; the sentence names two that lie apart.
    """
    boxes = [project_bounds(e.bounds, e.crs, WGS84) for e in extents]
    for i, first in enumerate(boxes):
        for j, second in enumerate(boxes[:i]):
            if intersect_lonlat([first, second]) is None:
                raise NoOverlap(f"{extents[j].name} and {extents[i].name} do not overlap: check that both cover "
                                "the same ground and that their CRSs are right.")  # fmt: skip
    common = intersect_lonlat(boxes)
    if common is None:
        raise NoOverlap("The inputs share no common ground, although each pair of them does.")
    return common


def overlap_grid(extents: Sequence[Extent], *, crs: CRS, resolution: float, area: Bounds) -> Grid:
    """The snapped grid over what all `extents` share, which is `area` in longitude and latitude (`common_area`).

    Raises:
        NoOverlap: their boxes do not meet in `crs`.
    """
    reach = max(area[2] - area[0], area[3] - area[1])
    near = (area[0] - reach, area[1] - reach, area[2] + reach, area[3] + reach)
    boxes = []
    for extent in extents:
        lonlat = project_bounds(extent.bounds, extent.crs, WGS84)
        if lonlat[2] - lonlat[0] > WIDE_DEGREES or lonlat[3] - lonlat[1] > WIDE_DEGREES:
            clipped = intersect_lonlat([lonlat, near]) or area
            boxes.append(project_bounds(clipped, WGS84, crs))
        else:
            boxes.append(project_bounds(extent.bounds, extent.crs, crs))
    box = intersect(boxes)
    if box is None:
        names = ", ".join(extent.name for extent in extents)
        raise NoOverlap(f"{names} do not overlap: check that they cover the same ground.")
    return snapped_grid(crs, resolution, box)
