"""What fetching for `enhance` would take, known without a network: tiles, bytes, room on the disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rasterio.windows import Window

from jspsr_cli.errors import NotPublic
from jspsr_cli.fetch.archive import Archive
from jspsr_cli.fetch.canopy import bytes_beside as canopy_beside
from jspsr_cli.fetch.canopy import mapped_area, mapped_window
from jspsr_cli.fetch.copernicus import bytes_beside as copernicus_beside
from jspsr_cli.fetch.index import land
from jspsr_cli.fetch.plan import plan_fetch
from jspsr_cli.fetch.request import CANOPY_ORIGIN, CanopyOptions, FetchOptions, area_of, source_of
from jspsr_cli.fetch.sources import SOURCES, Place
from jspsr_cli.fetch.tiles import GLO30, native_windows
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.writer import disk_bytes

# Pixels a side of the blocks in which tiles are stored: those of GLO-30 have 1024, no other archive's larger ones.
BLOCK = 1024

# Of a pixel of GLO-30, before compression; one of canopy has one byte.
HEIGHT_BYTES = 4

# Of a pixel of a finished file, with its overviews and before compression.
FINISHED_BYTES = 4 * 4 / 3


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """Of one file: its tiles, the most bytes that they can take, and those on the disk while it is made, and after."""

    tiles: tuple[str, ...]
    bytes_at_most: int
    disk_working: int
    disk_kept: int


def room_for(files: Iterable[Ahead], *, output: int) -> int:
    """Bytes on the disk that fetching `files` one after the other, and then `output` bytes of work, take at most."""
    most = kept = 0
    for file in files:
        most = max(most, kept + file.disk_working)
        kept += file.disk_kept
    return max(most, kept + output)


def _copernicus(place: Place) -> Ahead:
    options = FetchOptions(buffer=place.buffer)
    source = source_of(options.source)
    index = Archive(source, cache_size=options.cache_size).index(refresh=False)
    area = area_of(place.bounds, None, None, buffer=place.buffer)
    plan = plan_fetch(area, output=Path(SOURCES["dem"].file_name), index=index, source=source, options=options)
    parts = [(window.series, part) for window in plan.windows for part in plan.fetched(window)]
    tiles = [part.tile.name(series) for series, part in parts]
    return Ahead(
        tiles=tuple(dict.fromkeys(tiles)),
        bytes_at_most=HEIGHT_BYTES * pixels_of_blocks(part.source for _, part in parts),
        disk_working=disk_bytes(plan.grid, kept=0) + copernicus_beside(plan),
        disk_kept=_finished(plan.grid),
    )


def _canopy(place: Place) -> Ahead:
    """Raises NotPublic where there is no land, and what `mapped_area` raises."""
    area = mapped_area(place.bounds, None, None, buffer=place.buffer)
    source_of(None, origin=CANOPY_ORIGIN)
    under = {part.tile for window in native_windows(area, GLO30) for part in window.parts()}
    if not under & land():
        raise NotPublic(
            "There is no land in the area, and so no canopy height to fetch: check the order of the numbers, or give "
            "a guide."
        )
    window, _ = mapped_window(area, resolution=CanopyOptions().resolution)
    parts = list(window.parts())
    return Ahead(
        tiles=tuple(part.name for part in parts),
        bytes_at_most=pixels_of_blocks(part.source for part in parts),
        disk_working=disk_bytes(window.grid, kept=0) + canopy_beside(window),
        disk_kept=_finished(window.grid),
    )


def _finished(grid: Grid) -> int:
    return int(grid.width * grid.height * FINISHED_BYTES)


def pixels_of_blocks(windows: Iterable[Window]) -> int:
    """Pixels of the blocks of tiles that `windows` touch: less cannot be fetched."""

    def blocks(first: float, length: float) -> int:
        return int((first + length - 1) // BLOCK - first // BLOCK + 1)

    return sum(blocks(w.row_off, w.height) * blocks(w.col_off, w.width) for w in windows) * BLOCK**2


#: By the role that the file is given in.
AHEAD: dict[str, Callable[[Place], Ahead]] = {"dem": _copernicus, "canopy": _canopy}
