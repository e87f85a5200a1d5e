"""A public archive in little: a server, its tiles, and a cache of its own for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jspsr_cli.fetch.copernicus import fetch_copernicus
from jspsr_cli.fetch.report import FetchReport
from jspsr_cli.fetch.request import FetchOptions
from jspsr_cli.fetch.tiles import Tile
from tests.fetch.archive import BUCKETS, Server, save_tile, serving

Fetch = Callable[..., FetchReport]

#: South and west edges of the tiles that there are, and the boxes that they have ground in.
CORNER = (6.95, 44.95, 7.05, 45.05)
SIXTY = (10.4, 59.9, 10.6, 60.1)
SEVENTY = (179.9, 69.9, 180.1, 70.1)
BEYOND_SEVENTY = (-180.1, 69.9, -179.9, 70.1)
MINUS_FIFTY = (-70.1, -50.1, -69.9, -49.9)
COAST = (42.9, 40.4, 43.1, 40.6)
TILES = {
    (44, 6): CORNER, (44, 7): CORNER, (45, 6): CORNER, (45, 7): CORNER,
    (59, 10): SIXTY, (60, 10): SIXTY,
    (69, 179): SEVENTY, (70, 179): SEVENTY, (69, -180): BEYOND_SEVENTY, (70, -180): BEYOND_SEVENTY,
    (-51, -71): MINUS_FIFTY, (-51, -70): MINUS_FIFTY, (-50, -71): MINUS_FIFTY, (-50, -70): MINUS_FIFTY,
    (40, 42): COAST,
}  # fmt: skip

#: Ground in a tile far from the box, which need not be fetched.
FAR = {(44, 6): [(6.1, 44.1, 6.4, 44.4)]}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both buckets."""
    root = tmp_path_factory.mktemp("archive")
    for (south, west), box in TILES.items():
        save_tile(root / BUCKETS[30], south, west, [box, *FAR.get((south, west), [])])
    save_tile(root / BUCKETS[90], 40, 43, [COAST], metres=90)
    return root


@pytest.fixture
def server(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the archive, which is the source."""
    with serving(archive) as server:
        monkeypatch.setenv("JSPSR_COPERNICUS_URL", server.url)
        monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr("jspsr_cli.fetch.download.FIRST_WAIT", 0.001)
        index = frozenset(Tile(south, west) for south, west in TILES)
        monkeypatch.setattr("jspsr_cli.fetch.archive.shipped_index", lambda: index)
        yield server


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    """Fetch an area to out.tif, without a buffer."""
    assert server

    def run(bounds: Any = None, *, output: str = "out.tif", **options: Any) -> FetchReport:
        places = {name: options.pop(name) for name in ("like", "geometry", "progress") if name in options}
        chosen = FetchOptions(**{"buffer": 0.0, **options})
        return fetch_copernicus(tmp_path / output, bounds=bounds, options=chosen, **places)

    return run
