"""What a vector file may not do: name other files under the name of a format that holds its shapes itself.

As `opening` for rasters, but that pyogrio has no choice of the format: what the file begins with is looked at instead.
"""

import json
import re
from pathlib import Path
from typing import Any

from jspsr_cli.errors import InputError
from jspsr_cli.raster.opening import ending_of

# What files begin with, by the endings of their names; whatever has another name is left to GDAL with all its formats.
BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    ".shp": (b"\x00\x00\x27\x0a",),
    ".gpkg": (b"SQLite format 3\x00",),
    ".fgb": (b"fgb\x03",),
    ".geojson": (b"{", b"["),
    ".json": (b"{", b"["),
}

JSON = (".geojson", ".json")

# Bytes of polygons as JSON, which are read whole: the coast of a continent in every detail.
LONGEST_JSON = 256 * 2**20

# Values of `type` by which GDAL asks an address or runs something: a CRS by link, as files from before RFC 7946 may
# have it, and a stored command.
LINKS, COMMAND = ("link", "url"), "gdal_streamed_alg"

# What stands between documents: blanks, and the mark of RFC 8142.
_START = re.compile(r"[\s\x1e]*")


def check_vector(path: str) -> None:
    """Raise InputError where a file is not what its name promises, or leads to another file or address."""
    ending, file = ending_of(path), Path(path)
    if ending not in BEGINNINGS:
        return
    if "://" in path or path.startswith("/vsi"):
        raise InputError(f"{path} cannot be looked into before it is read: fetch it, or unpack it, to a local file.")
    if not file.is_file():
        return
    try:
        with file.open("rb") as content:
            start = content.read(64)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if ending in JSON:
        start = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0b\x0c\x1e")
    if start and not start.startswith(BEGINNINGS[ending]):
        raise InputError(
            f"{path} cannot be read as a vector file: it is not what its name says, or is damaged; a file of another "
            "format needs another name."
        )
    if ending in JSON:
        _check_json(file)


def _check_json(file: Path) -> None:
    if file.stat().st_size > LONGEST_JSON:
        raise InputError(f"{file} has more than {LONGEST_JSON >> 20} MB: give a GeoPackage, made with ogr2ogr.")
    text = file.read_bytes().decode("utf-8-sig", "replace")
    # Numbers and tables are dropped at once, so that the memory is that of the text.
    reader = json.JSONDecoder(object_pairs_hook=_follow_none, parse_float=_nothing, parse_int=_nothing, strict=False)
    at = _START.match(text, 0).end()  # type: ignore[union-attr]  # it matches nothing, too
    try:
        while at < len(text):  # a file may hold one feature a line
            at = _START.match(text, reader.raw_decode(text, at)[1]).end()  # type: ignore[union-attr]
    except _Leads as error:
        raise InputError(
            f"{file} names another place to read from ({error}), which is not followed: write it anew with ogr2ogr."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as a vector file: it is no JSON ({error!s:.200}).") from error


def _nothing(_text: str) -> None:
    return None


class _Leads(Exception):
    """A table of the file leads elsewhere."""


def _follow_none(pairs: list[tuple[str, Any]]) -> None:
    keys = {key.lower() for key, _ in pairs}
    for key, value in pairs:
        kind = value.lower() if key.lower() == "type" and isinstance(value, str) else ""
        if kind == COMMAND or (kind in LINKS and "properties" in keys):
            raise _Leads(f"type {kind}")
