"""Types of the values on the command line. A value that cannot be right is a usage error (exit code 2).

What only the opened raster can tell (does the band exist, is the CRS projected) is left to the library.
"""

import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jspsr_cli.limits import LARGEST_WINDOW, SMALLEST_WINDOW, WINDOW_STEP

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from jspsr_cli.types import Bounds

# A third of what float32 can hold, so that the distance of two pixels is a float32 too.
_LARGEST_PIXEL = 1e38

# WKT of a compound CRS with all its parameters has about 10 kB; more is a mistake, or an attack on a parser.
_LONGEST_CRS = 100_000

# URLs (also s3://, zip+https://) and GDAL's virtual file systems: left to the library to open.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/vsi[a-z0-9_]+[/?{]")

# What GDAL calls one raster of several in a file: NETCDF:"x.nc":band, GPKG:x.gpkg:table.
_PART_OF_FILE = re.compile(r"[A-Z][A-Z0-9_]{2,}:.*[^:]")

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


class TextType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """A value made from text by `parse`, whose ValueError is the sentence for the user."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn text into the value; anything else is a default in the code and passes."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def parse(self, text: str) -> Any:
        """Turn text into the value, or raise ValueError with a sentence."""
        raise NotImplementedError


class BoundsType(TextType):
    """`west,south,east,north`, separated by commas or spaces: a tuple of four finite, ordered numbers.

    West is greater than east only in degrees, across the antimeridian (RFC 7946), by the shorter way round.
    """

    name = "bounds"

    def parse(self, text: str) -> "Bounds":
        """Four numbers in order."""
        numbers = [_number(part) for part in _split(text.strip("[]() "))]
        if len(numbers) != 4:
            raise ValueError(f"four numbers west,south,east,north are needed, not {len(numbers)}.")
        west, south, east, north = numbers
        across = max(map(abs, numbers[::2])) <= 180 and max(map(abs, numbers[1::2])) <= 90 and west - east > 180
        for low, high, low_name, high_name in (
            (west, east, "west", "east"),
            (south, north, "south", "north"),
        ):
            if low >= high and not (across and low_name == "west"):
                raise ValueError(
                    f"{low_name} ({low:.10g}) is not less than {high_name} ({high:.10g}): the bounds are "
                    "reversed or empty, their order is west,south,east,north."
                )
        return west, south, east, north


class ResolutionType(TextType):
    """The side of an output pixel in metres: finite and positive."""

    name = "metres"

    def parse(self, text: str) -> float:
        """A positive number."""
        value = _number(text)
        if value <= 0:
            raise ValueError(f"{_quoted(text)} is not a pixel size; give a number of metres above 0, such as 8.")
        return value


class WindowType(TextType):
    """The side of the network's window in pixels: a multiple of 8 from 32 to 4096."""

    name = "pixels"

    def parse(self, text: str) -> int:
        """A whole number in steps of 8."""
        value = _integer(text)
        if value % WINDOW_STEP or not SMALLEST_WINDOW <= value <= LARGEST_WINDOW:
            raise ValueError(
                f"{_quoted(text)} is not a multiple of {WINDOW_STEP} from {SMALLEST_WINDOW} to {LARGEST_WINDOW}."
            )
        return value


class OverlapType(TextType):
    """The share of a window that it has in common with its neighbour: 0 or more, less than 1."""

    name = "fraction"

    def parse(self, text: str) -> float:
        """A fraction."""
        value = _number(text)
        if not 0 <= value < 1:
            raise ValueError(f"{_quoted(text)} is not a fraction from 0 to below 1; a quarter is 0.25.")
        return value


class StretchType(TextType):
    """`LO,HI`: the two finite values of the imagery that become black and white."""

    name = "lo,hi"

    def parse(self, text: str) -> tuple[float, float]:
        """Two numbers in order."""
        numbers = [_number(part) for part in _split(text)]
        if len(numbers) != 2:
            raise ValueError(f"two numbers LO,HI are needed, not {len(numbers)}.")
        low, high = numbers
        if low >= high:
            raise ValueError(f"LO ({low:.10g}) is not less than HI ({high:.10g}).")
        if max(abs(low), abs(high)) > _LARGEST_PIXEL or high - low < 1 / _LARGEST_PIXEL:
            raise ValueError("LO and HI are further apart, or nearer together, than the pixels of an image can be.")
        return low, high


class BandsType(TextType):
    """`3,2,1`: band numbers, counted from 1."""

    name = "bands"

    def parse(self, text: str) -> tuple[int, ...]:
        """One or more band numbers."""
        bands = tuple(_integer(part) for part in _split(text))
        if min(bands) < 1:
            raise ValueError(f"{min(bands)} is not a band number; bands are counted from 1.")
        return bands


class DeviceType(TextType):
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`. Whether the machine has it is for the library to find out."""

    name = "device"

    def parse(self, text: str) -> str:
        """A device name in lower case."""
        device = text.strip().lower()
        if not _DEVICE.fullmatch(device):
            raise ValueError(f"{_quoted(text)} is not one of auto, cpu, cuda, cuda:0, cuda:1, ..., mps.")
        return device


class CrsType(TextType):
    """A coordinate reference system that PROJ knows, kept as text; a bare number is an EPSG code."""

    name = "crs"

    def parse(self, text: str) -> str:
        """Text that PROJ understands."""
        crs = text.strip()
        if len(crs) > _LONGEST_CRS:
            raise ValueError(f"a CRS of {len(crs)} characters is too long; give a code such as EPSG:32631.")
        if re.fullmatch(r"[0-9]+", crs):
            crs = f"EPSG:{crs}"
        from pyproj import CRS
        from pyproj.exceptions import CRSError

        try:
            CRS.from_user_input(crs)
        except (CRSError, ValueError) as error:
            raise ValueError(
                f"{_quoted(text)} is not a coordinate reference system; give a code such as EPSG:32631, "
                "a PROJ string or WKT."
            ) from error
        return crs


class VerticalCrsType(CrsType):
    """As `CrsType`, and the word `ellipsoid` for heights above that of WGS 84."""

    name = "vertical crs"

    def parse(self, text: str) -> str:
        """Text that PROJ understands."""
        return "EPSG:4979" if text.strip().lower() == "ellipsoid" else super().parse(text)


class RasterPath(TextType):
    """A local file that exists and is not empty; a URL, s3:// or /vsi path or a part of a file is taken as it is.

    A folder passes: some rasters are folders (ESRI grids), and GDAL tells the others apart.
    """

    name = "path"

    def parse(self, text: str) -> str:
        """The path as it was given."""
        if text.encode(errors="replace").decode() != text:
            raise ValueError(f"{_quoted(text)} is not UTF-8, which GDAL needs; rename the file.")
        if _REMOTE.match(text) or (_PART_OF_FILE.fullmatch(text) and not os.path.lexists(text)):
            return text
        try:
            status = os.stat(text)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
            raise ValueError(f"{_quoted(text)} cannot be opened: {reason}.") from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ValueError(f"{_quoted(text)} is a pipe or a device; GDAL needs a file.")
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            raise ValueError(f"{_quoted(text)} is empty (0 bytes).")
        if not os.access(text, os.R_OK):
            raise ValueError(f"{_quoted(text)} cannot be opened: Permission denied.")
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Let the shell complete file names."""
        del ctx, param
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class Output(click.Path):
    """A file or a folder to write. `-` is none: results appear under their names when they are complete."""

    def __init__(self, *, folder: bool = False) -> None:
        super().__init__(dir_okay=folder, file_okay=not folder, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it is one."""
        if value == "-":
            self.fail("this cannot be written to standard output; give a name.", param, ctx)
        return super().convert(value, param, ctx)


def join_bounds(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> "Bounds | None":
    """Bounds from an argument of any number of words: the callback of `options.bounds_argument`."""
    return BoundsType().convert(" ".join(values), param, ctx) if values else None


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part] or [text]


def _number(text: str) -> float:
    try:
        value = float(text.replace("\N{MINUS SIGN}", "-"))  # as pasted from a web page
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{_quoted(text)} is not a finite number.")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{_quoted(text)} is not a whole number.") from None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
