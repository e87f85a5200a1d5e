"""What `enhance --fetch` fetches for each role of an input."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.fetch.canopy import fetch_canopy
from jspsr_cli.fetch.copernicus import fetch_copernicus
from jspsr_cli.fetch.report import CanopyReport, FetchReport
from jspsr_cli.fetch.request import CanopyOptions, FetchOptions
from jspsr_cli.types import Bounds, Progress


@dataclass(frozen=True)
class Place:
    """A box in longitude and latitude, and the metres around it that are fetched too."""

    bounds: Bounds
    buffer: float


@dataclass(frozen=True)
class Source:
    """The name that the fetched file gets, and how it is fetched: to a path, whose file it replaces.

    `fetch` raises JspsrError.
    """

    file_name: str
    fetch: Callable[[Path, Place, Progress], FetchReport | CanopyReport]


def _copernicus(path: Path, place: Place, progress: Progress) -> FetchReport:
    options = FetchOptions(buffer=place.buffer, overwrite=True)
    return fetch_copernicus(path, bounds=place.bounds, options=options, progress=progress)


def _canopy(path: Path, place: Place, progress: Progress) -> CanopyReport:
    options = CanopyOptions(buffer=place.buffer, overwrite=True)
    return fetch_canopy(path, bounds=place.bounds, options=options, progress=progress)


#: By the role that the file is given in. The names are those that users see in the tags of outputs.
SOURCES = {"dem": Source("cop30.tif", _copernicus), "canopy": Source("canopy.tif", _canopy)}
