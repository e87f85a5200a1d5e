"""Units of heights: stored values become metres, or the file is no raster of heights."""

from dataclasses import replace

import pyproj

from jspsr_cli.errors import NotHeights
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.vertical import vertical_part

# Lengths in metres by what files call them, in lower case. Not PROJ's table: there the decimetre is 0.01 m (9.5.1).
LENGTHS = {
    **dict.fromkeys(["m", "metre", "meter"], 1.0),
    **dict.fromkeys(["dm", "decimetre", "decimeter"], 0.1),
    **dict.fromkeys(["cm", "centimetre", "centimeter"], 0.01),
    **dict.fromkeys(["mm", "millimetre", "millimeter"], 0.001),
    **dict.fromkeys(["km", "kilometre", "kilometer"], 1000.0),
    **dict.fromkeys(["ft", "foot", "feet", "international foot", "international feet"], 0.3048),
    **dict.fromkeys(["ftus", "us-ft", "us survey foot", "us survey feet", "foot us", "feet us"], 1200 / 3937),
    **dict.fromkeys(["yd", "yard"], 0.9144),
    **dict.fromkeys(["fath", "fathom"], 1.8288),
}

# Lengths that differ by a smaller share are one unit loosely named: the foot and the foot of the US survey.
SAME_LENGTH = 1e-5


def elevation_in_metres(file: RasterFile) -> RasterFile:
    """`file` with a scaling that makes its values metres above its datum.

    Raises:
        NotHeights: it counts depths, its unit is no length, or its band and its vertical CRS contradict each other.
    """
    part = vertical_part(pyproj.CRS.from_wkt(file.whole_crs))
    if part is None:
        return _scaled(file, _length(file))
    axis = part.axis_info[-1]
    if axis.direction == "down":
        raise NotHeights(f"{file.path} counts depths downwards ({part.name}): an elevation model has heights.")
    stated = float(axis.unit_conversion_factor)
    # GDAL names the unit of the vertical CRS where the band has none of its own.
    length = _length(file) if file.unit and file.unit != axis.unit_name else stated
    if abs(length / stated - 1) > SAME_LENGTH:
        raise NotHeights(
            f"{file.path} is in {file.unit!r} by its band and in {axis.unit_name} by its vertical CRS, {part.name}: "
            "set the wrong one right with gdal_edit.py -units or -a_srs."
        )
    return _scaled(file, stated)


def canopy_in_metres(file: RasterFile) -> RasterFile:
    """`file` with a scaling that makes its values metres above the ground.

    Raises:
        NotHeights: its unit is no length.
    """
    return _scaled(file, _length(file))


def _length(file: RasterFile) -> float:
    """Metres in one unit of the band; a band without a unit is in metres."""
    word = file.unit.strip(" []()").lower().replace("_", " ")
    length = LENGTHS.get(word) or LENGTHS.get(word.removesuffix("s"))
    if word and not length:
        raise NotHeights(
            f"{file.path} is in {file.unit[:40]!r}, which is no length known here: if it holds heights, name their "
            "unit with gdal_edit.py -units m, ft or another."
        )
    return length or 1.0


def _scaled(file: RasterFile, metres: float) -> RasterFile:
    factor, summand = file.scaling
    return replace(file, scaling=(factor * metres, summand * metres))
