"""Which tiles of one degree a series holds: all others are sea.

A list is kept as runs: the south edge in degrees, then first and last west edges, as in `34: -121..-77 -7..11 126`.
"""

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from jspsr_cli.errors import FetchFailed
from jspsr_cli.fetch.tiles import GAPS, Tile

SHIPPED = "glo30_tiles.txt"

_NAME = re.compile(r"Copernicus_DSM_COG_\d+_([NS])(\d{2})_00_([EW])(\d{3})_00_DEM")

Index = frozenset[Tile]


def shipped_index() -> Index:
    """The 26,450 tiles that GLO-30 published when this version of jspsr was made."""
    return parse_runs((files("jspsr_cli.fetch") / SHIPPED).read_text("ascii"))


def land() -> Index:
    """Tiles in which there is land, whatever an archive has of them."""
    return shipped_index() | GAPS


def kept_index(path: Path) -> Index | None:
    """The list that was fetched to `path` earlier, if one was and can be read."""
    try:
        return parse_runs(path.read_text("ascii")) or None
    except (OSError, ValueError):
        return None


def parse_runs(text: str) -> Index:
    """Tiles of a list of runs; raises ValueError where it is none."""
    found = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        south, runs = line.split(":")
        for run in runs.split():
            first, _, last = run.partition("..")
            found += [Tile(int(south), west) for west in range(int(first), int(last or first) + 1)]
    return frozenset(found)


def format_runs(index: Iterable[Tile]) -> str:
    """`index` as a list of runs, from north to south."""
    lines = ["# 1-degree tiles: south edge (degrees north): runs of west edges (degrees east), first..last"]
    ordered = sorted(index, key=lambda tile: (-tile.south, tile.west))
    for south, tiles in groupby(ordered, key=lambda tile: tile.south):
        lines.append(f"{south}: {' '.join(_runs([tile.west for tile in tiles]))}")
    return "\n".join(lines) + "\n"


def _runs(wests: list[int]) -> Iterator[str]:
    for _, group in groupby(enumerate(wests), key=lambda pair: pair[1] - pair[0]):
        run = [west for _, west in group]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}"


def parse_names(text: str, *, address: str, choices: str) -> Index:
    """Tiles of a list of their names, as the public bucket has it at `address`, which is one of the `choices`.

    Raises:
        FetchFailed: there is none in it.
    """
    found = frozenset(
        Tile(int(lat) * (1 if ns == "N" else -1), int(lon) * (1 if ew == "E" else -1))
        for ns, lat, ew, lon in _NAME.findall(text)
    )
    if not found:
        raise FetchFailed(f"{address} names no tile of GLO-30: check {choices}, or leave --refresh away.")
    return found
