"""What is asked for: an area, where it is fetched from, and how it is to be written."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from jspsr_cli.errors import InvalidOption
from jspsr_cli.limits import DEFAULT_BUFFER, DEFAULT_CACHE_SIZE, DEFAULT_CANOPY_RESOLUTION
from jspsr_cli.raster.boxes import TURN, turned, turns_to
from jspsr_cli.raster.grid import WGS84, project_bounds
from jspsr_cli.raster.polygons import read_area
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.target import MAX_RESOLUTION, in_one_piece, is_lonlat
from jspsr_cli.types import Bounds


class Origin(NamedTuple):
    """Where an archive is public, the environment variable that names a mirror of it, and the command that fetches."""

    variable: str
    public: str
    command: str

    @property
    def choices(self) -> str:
        """What says where to fetch from, for messages: `enhance --fetch` has the variable only."""
        return f"{self.variable} or --source"


# Registry of Open Data on AWS; GLO-90 lies in copernicus-dem-90m.
COPERNICUS_ORIGIN = Origin("JSPSR_COPERNICUS_URL", "https://copernicus-dem-30m.s3.amazonaws.com", "fetch-copernicus")

# University of Bristol, https://doi.org/10.5523/bris.s5hqmjcdj8yo2ibzi9b4ew3sn
FABDEM_ORIGIN = Origin("JSPSR_FABDEM_URL", "https://data.bris.ac.uk/datasets/s5hqmjcdj8yo2ibzi9b4ew3sn", "fetch-fabdem")

# Registry of Open Data on AWS, dataforgood-fb-forests.
CANOPY_ORIGIN = Origin("JSPSR_CANOPY_URL", "https://dataforgood-fb-data.s3.amazonaws.com", "fetch-canopy")

# The shortest degree of latitude (at the equator), and a degree of longitude there, in metres: buffers grow rather than
# shrink. A degree of longitude has at least the cosine of its latitude of the latter.
METRES_LATITUDE, METRES_LONGITUDE = 110_574.0, 111_319.0

Sea = Literal["0", "nodata"]


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What can be chosen whatever is fetched; each field is the option of that name on the command line.

    `buffer` in metres around the area; `cache_size` in gigabytes.
    """

    buffer: float = DEFAULT_BUFFER
    source: str | None = None
    cache_size: float = DEFAULT_CACHE_SIZE
    refresh: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        wrong = self._wrong()
        for name in filter(wrong.get, wrong):
            raise InvalidOption(f"The {name} {getattr(self, name)} cannot work: see --help for what can.")

    def _wrong(self) -> dict[str, bool]:
        """Whether the value of a field cannot work."""
        return {"buffer": not 0 <= self.buffer < math.inf, "cache_size": not 0 <= self.cache_size < math.inf}


@dataclass(frozen=True, kw_only=True)
class FetchOptions(CommonOptions):
    """As `CommonOptions`, for GLO-30. `crs` None: longitude and latitude, as published."""

    crs: str | None = None
    compound_crs: bool = False
    sea: Sea = "0"
    strict: bool = False

    def _wrong(self) -> dict[str, bool]:
        return super()._wrong() | {"sea": self.sea not in get_args(Sea)}


@dataclass(frozen=True, kw_only=True)
class FabdemOptions(CommonOptions):
    """As `CommonOptions`, for FABDEM. `sea` is what its pixels without data and its missing tiles of sea become."""

    sea: Sea = "nodata"

    def _wrong(self) -> dict[str, bool]:
        return super()._wrong() | {"sea": self.sea not in get_args(Sea)}


@dataclass(frozen=True, kw_only=True)
class CanopyOptions(CommonOptions):
    """As `CommonOptions`, for canopy heights. `resolution` in metres on the ground."""

    resolution: float = DEFAULT_CANOPY_RESOLUTION

    def _wrong(self) -> dict[str, bool]:
        return super()._wrong() | {"resolution": not 0 < self.resolution <= MAX_RESOLUTION}


def area_of(bounds: Bounds | None, like: str | None, geometry: str | None, *, buffer: float) -> Bounds:
    """The box in longitude and latitude that is asked for by one of the three, and `buffer` metres around it.

    Its middle is from -180 to 180; across the antimeridian it goes on beyond.

    Raises:
        InvalidOption: not one of the three, or numbers that are no place on Earth.
        NoOverlap, UnreadableRaster, MissingCRS, InputError: the file cannot be read, or has no place.
    """
    if sum(choice is not None for choice in (bounds, like, geometry)) != 1:
        raise InvalidOption("One area is needed: WEST SOUTH EAST NORTH in degrees, --like RASTER or --geometry FILE.")
    if bounds:
        box = _checked(bounds)
    elif like:
        extent = inspect_raster(like).extent
        box = project_bounds(extent.bounds, extent.crs, WGS84)
    else:
        area = read_area(str(geometry))
        box = project_bounds(area.bounds, area.crs, WGS84)
    return turned(buffered(box, buffer), turns_to(0, box))


def _checked(bounds: Bounds) -> Bounds:
    if not all(map(math.isfinite, bounds)) or not is_lonlat(bounds):
        raise InvalidOption(
            f"{bounds} is no area on Earth: give longitudes within ±360 and latitudes within ±90, in the order west, "
            "south, east, north."
        )
    west, south, east, north = bounds
    across = west - east > TURN / 2
    if not (south < north and (west < east or across)):
        raise InvalidOption("The bounds are reversed or empty: their order is west, south, east, north.")
    return in_one_piece(bounds)


def buffered(box: Bounds, metres: float) -> Bounds:
    """`box` in longitude and latitude and all that lies within `metres` of it, up to the poles and once round."""
    west, south, east, north = box
    south, north = (
        max(-90.0, min(90.0, lat)) for lat in (south - metres / METRES_LATITUDE, north + metres / METRES_LATITUDE)
    )
    shrink = math.cos(math.radians(max(abs(south), abs(north))))
    reach = metres / (METRES_LONGITUDE * shrink) if metres and shrink > 1e-9 else TURN if metres else 0.0
    if east - west + 2 * reach >= TURN:
        middle = (west + east) / 2
        return middle - TURN / 2, south, middle + TURN / 2, north
    return west - reach, south, east + reach, north


def source_of(choice: str | None, *, origin: Origin = COPERNICUS_ORIGIN) -> str:
    """The address that tiles are fetched from, without a slash at its end: a choice, the environment's, the public one.

    Raises:
        InvalidOption: neither http(s), s3 nor a folder.
    """
    source = (choice or os.environ.get(origin.variable) or origin.public).rstrip("/")
    scheme = urlsplit(source).scheme.lower()
    if scheme == "s3":  # public buckets are read without a signature, as any web server
        bucket, _, prefix = source[len("s3://") :].partition("/")
        return f"https://{bucket}.s3.amazonaws.com/{prefix}".rstrip("/")
    if scheme in ("http", "https") and urlsplit(source).netloc:
        return source
    folder = Path(source) if scheme != "file" else None
    if folder is None or folder.is_dir():
        return source if folder is None else folder.resolve().as_uri()
    raise InvalidOption(f"{source[:200]!r} is no source: give an http, https, s3 or file address, or a folder.")
