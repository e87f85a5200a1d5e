"""Vertical datums: what heights are counted from, and how heights go from one datum to another, by PROJ.

GDAL's warp would leave heights as they are where a grid is missing; here that is an error.
"""

import logging
import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from pyproj.crs import CompoundCRS
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import AreaOfInterest, Transformer, TransformerGroup

from jspsr_cli.errors import InvalidOption, MissingDatumGrid, NoOverlap, TransformFailed
from jspsr_cli.raster.boxes import TURN
from jspsr_cli.raster.grid import WGS84 as LONLAT
from jspsr_cli.raster.grid import WIDE_DEGREES, Extent, Grid, project_bounds
from jspsr_cli.types import FloatArray

log = logging.getLogger(__name__)

#: Where heights are looked up when the datum is known and the horizontal system that it came with is not.
WGS84 = pyproj.CRS.from_epsg(4326)

# As EPSG names the vertical CRSs that are not in metres: "NAVD88 height (ftUS)", "Poolbeg height (ft(Br36))".
UNIT_IN_NAME = re.compile(r" \(ft.*\)$")

# How a datum is named in a tag: "EGM2008 height (EPSG:3855)"; a bar stands between several of them.
NAME_WITH_CODE = re.compile(r"[^|]*\((\w+:\w+)\)")

# Points per side of the grid at which a transformation is tried before the work begins.
PROBES = 17


@dataclass(frozen=True)
class VerticalDatum:
    """What heights are counted from. They are in metres and grow upwards.

    `surface` is a vertical CRS, or a geographic 3D one for heights above its ellipsoid; `base` the geographic 2D
    CRS that it is used with.
    """

    base: pyproj.CRS
    surface: pyproj.CRS

    @property
    def crs(self) -> pyproj.CRS:
        """Longitude, latitude and height as one CRS."""
        if not self.surface.is_vertical:
            return self.surface
        return CompoundCRS(f"{self.base.name} + {self.surface.name}", [self.base, self.surface])

    @property
    def name(self) -> str:
        """For people: `EGM2008 height (EPSG:3855)`, `WGS 84 ellipsoidal height (EPSG:4979)`."""
        code = self.surface.to_authority()
        title = self.surface.name + ("" if self.surface.is_vertical else " ellipsoidal height")
        return f"{title} ({':'.join(code)})" if code else title

    @property
    def tag(self) -> str:
        """What `datum_of_tag` reads: the name, or WKT where no code says which datum is meant."""
        return self.name if self.surface.to_authority() else self.surface.to_wkt()


def vertical_part(crs: pyproj.CRS) -> pyproj.CRS | None:
    """The vertical CRS in `crs`, or `crs` itself where its heights are ellipsoidal, or None where it has none."""
    if crs.is_compound:
        return next((part for part in crs.sub_crs_list if part.is_vertical), None)
    return crs if crs.is_vertical or len(crs.axis_info) == 3 else None


def datum_of(crs: pyproj.CRS) -> VerticalDatum | None:
    """Vertical datum of a compound, 3D or vertical CRS, taken in metres whatever its unit; None for a flat one."""
    part = vertical_part(crs)
    if part is None:
        return None
    if part.is_vertical:
        flat = crs.sub_crs_list[0].geodetic_crs if crs.is_compound else None
        return VerticalDatum(_registered(flat or WGS84), _registered(_in_metres(part)))
    solid = part.geodetic_crs or part
    return VerticalDatum(_registered(solid.to_2d()), _registered(_in_metres(solid.to_3d())))


def datum_of_tag(text: str) -> VerticalDatum | None:
    """Vertical datum that `VerticalDatum.tag` has written, None where the text names none that PROJ knows."""
    code = NAME_WITH_CODE.fullmatch(text)
    try:
        return datum_of(pyproj.CRS.from_user_input(code[1]) if code else pyproj.CRS.from_wkt(text))
    except CRSError:
        return None


def parse_datum(text: str, *, option: str = "--vertical-crs") -> VerticalDatum:
    """The datum that `option` asks for, of a vertical, compound or 3D CRS: an EPSG code, a PROJ string or WKT.

    Raises:
        InvalidOption: PROJ does not know it, it is horizontal only, or it counts downwards or in another unit.
    """
    try:
        crs = pyproj.CRS.from_user_input(text)
    except CRSError as error:
        raise InvalidOption(f"{text[:80]!r} is not a known CRS: give an EPSG code such as EPSG:5773.") from error
    datum, part = datum_of(crs), vertical_part(crs)
    if datum is None or part is None or crs.is_geocentric:
        raise InvalidOption(
            f"{crs.name} has no heights: {option} takes a vertical CRS such as EPSG:5773, or one that holds "
            "one, such as EPSG:4326+5773."
        )
    axis = part.axis_info[-1]
    if axis.direction == "down":
        raise InvalidOption(f"{part.name} counts depths downwards: {option} takes a datum of heights.")
    if axis.unit_conversion_factor != 1:
        twin = f"ask for {datum.name}" if datum.surface.to_authority() else "ask for one in metres"
        raise InvalidOption(f"{part.name} counts in {axis.unit_name} and the output is in metres: {twin}.")
    return datum


def _in_metres(crs: pyproj.CRS) -> pyproj.CRS:
    """`crs` with its heights in metres: the registered one of that datum, if there is one."""
    if crs.axis_info[-1].unit_conversion_factor == 1:
        return crs
    said = (crs.source_crs or crs).to_json_dict() if crs.is_bound else crs.to_json_dict()
    said["coordinate_system"]["axis"][-1]["unit"] = "metre"
    said.pop("id", None)
    plain = UNIT_IN_NAME.sub("", said["name"])
    twins = [pyproj.CRS.from_json_dict({**said, "name": name}) for name in (plain, f"{plain} (m)")]
    return next((twin for twin in twins if twin.to_epsg()), twins[0])


def _registered(crs: pyproj.CRS) -> pyproj.CRS:
    """`crs` as the EPSG registry has it, where it does, so that two files name it alike."""
    code = crs.to_epsg()
    return pyproj.CRS.from_epsg(code) if code else crs


@dataclass(frozen=True)
class VerticalTransform:
    """Heights on the pixels of `grid` from one vertical datum to another.

    `to_base` takes coordinates of the grid to longitude and latitude, `operation` those and a height to the target.
    One operation of PROJ serves all pixels, whatever strip they lie in.
    """

    source: VerticalDatum
    target: VerticalDatum
    grid: Grid
    to_base: Transformer
    operation: Transformer

    @property
    def title(self) -> str:
        """PROJ's name of the operation, and how far it can be wrong."""
        steps = [step for step in self.operation.description.split(" + ") if not step.startswith("axis order change")]
        accuracy = self.operation.accuracy
        return " + ".join(steps) + (f", good to {accuracy:g} m" if accuracy >= 0 else "")

    def applied(self, heights: FloatArray, *, row: int) -> FloatArray:
        """`heights` (rows, columns of the grid) from `row` of the grid on, in the target's datum.

        NaN stays NaN, and is what becomes of a height where PROJ's grids end.

        Raises:
            TransformFailed: PROJ cannot read its grids any more.
        """
        result = heights.copy()
        t = self.grid.transform
        x = t.c + (np.arange(heights.shape[1]) + 0.5) * t.a
        for i, line in enumerate(result):  # by rows: a strip of coordinates would be several times its heights
            known = ~np.isnan(line)
            if known.any():
                y = np.full(int(known.sum()), t.f + (row + i + 0.5) * t.e)
                line[known] = self._moved(x[known], y, line[known].astype(np.float64))
        return result

    def check(self) -> None:
        """See to it that some of the grid can be transformed, before the work begins.

        Raises:
            NoOverlap: PROJ's grids do not reach there.
            MissingDatumGrid: they cannot be fetched.
        """
        west, south, east, north = self.grid.bounds
        dx, dy = (v / 2 for v in self.grid.resolution)
        x, y = np.meshgrid(np.linspace(west + dx, east - dx, PROBES), np.linspace(south + dy, north - dy, PROBES))
        try:
            reached = np.isfinite(self._moved(x.ravel(), y.ravel(), np.zeros(x.size))).any()
        except TransformFailed as error:
            raise MissingDatumGrid(str(error)) from error
        if not reached:
            raise NoOverlap(
                f"PROJ's grids for {self.target.name} do not reach the area: choose a vertical CRS that is used there."
            )

    def _moved(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Heights in the target's datum at coordinates of the grid, NaN outside of PROJ's grids."""
        lon, lat = self.to_base.transform(x, y)
        moved: FloatArray = self.operation.transform(lon, lat, z)[2]
        lost = ~np.isfinite(moved)
        if lost.any():
            moved[lost] = np.nan
            try:
                self.operation.transform(lon[lost], lat[lost], z[lost], errcheck=True)
            except ProjError as error:
                if not re.search(r"outside grid|nodata", str(error)):
                    raise TransformFailed(
                        f"Heights cannot be taken to {self.target.name}, {error}: check the network, or fetch PROJ's "
                        "grids beforehand with pyproj sync."
                    ) from error
        return moved


def vertical_transform(
    source: VerticalDatum, target: VerticalDatum, *, grid: Grid, extent: Extent, option: str = "--vertical-crs"
) -> VerticalTransform | None:
    """How heights on `grid` go from `source` to `target`, or None where that is the same datum.

    It is the operation that PROJ knows as the best within `extent`, that of the whole DEM: as in the alignment, parts
    of a region are to be transformed alike.

    Raises:
        InvalidOption: PROJ knows no way from the one to the other.
        MissingDatumGrid: the best way needs a grid that PROJ does not find.
        NoOverlap: PROJ's grids end before the area begins.
    """
    if target.surface == source.surface:
        return None
    area = _area(grid, extent)
    # Without ballpark operations: they leave heights as they are.
    group = _group(source.crs, target.crs, area, allow_ballpark=False)
    if not group.best_available:
        raise MissingDatumGrid(_missing(source, target, group))
    if not group.transformers:
        raise InvalidOption(
            f"PROJ knows no transformation from {source.name} to {target.name} in this area: choose another "
            f"{option}, or give it with the horizontal CRS that it is used with, as in EPSG:4258+5799."
        )
    to_base = _group(pyproj.CRS.from_wkt(grid.crs.to_wkt()), source.base, area).transformers[0]
    found = VerticalTransform(source, target, grid, to_base, group.transformers[0])
    found.check()
    log.info("heights: %s to %s by %s", source.name, target.name, found.title)
    return found


def _area(grid: Grid, extent: Extent) -> AreaOfInterest:
    """Longitudes and latitudes of `extent`, or of `grid` where that is a mosaic of half the world."""
    box = project_bounds(extent.bounds, extent.crs, LONLAT)
    if max(box[2] - box[0], box[3] - box[1]) > WIDE_DEGREES:
        box = project_bounds(grid.bounds, grid.crs, LONLAT)
    west, south, east, north = box
    if east - west >= TURN:
        west, east = -TURN / 2, TURN / 2
    # PROJ takes a box across the antimeridian as one whose west is greater than its east.
    west, east = (v if abs(v) <= TURN / 2 else v - TURN * math.floor((v + TURN / 2) / TURN) for v in (west, east))
    return AreaOfInterest(west, max(-90, south), east, min(90, north))


def _group(source: pyproj.CRS, target: pyproj.CRS, area: AreaOfInterest, **choices: Any) -> TransformerGroup:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the best is not available, which is looked at
        return TransformerGroup(source, target, always_xy=True, area_of_interest=area, **choices)


def _missing(source: VerticalDatum, target: VerticalDatum, group: TransformerGroup) -> str:
    """The sentence that names what to fetch: for the best operation whose grids can all be had.

    Where there is none, a grid is the user's own, and one that lacks no other is named: PROJ counts an EGM2008 that it
    does not offer as the most accurate.
    """
    lacking = [[grid for grid in operation.grids if not grid.available] for operation in group.unavailable_operations]
    grids = min(lacking, key=lambda grids: 0 if all(grid.url for grid in grids) else len(grids))
    names = " and ".join(grid.short_name for grid in grids)
    if all(grid.url for grid in grids):
        ways = " and ".join(f"pyproj sync --file {grid.short_name}" for grid in grids)
        remedy = f"fetch with {ways}, or set PROJ_NETWORK=ON"
    else:
        folder = pyproj.datadir.get_user_data_dir()  # type: ignore[attr-defined]  # not exported explicitly
        remedy = f"put it into {folder}"
    return f"Heights from {source.name} to {target.name} need {names}, which PROJ does not find: {remedy}."
