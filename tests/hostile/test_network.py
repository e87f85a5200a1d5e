"""Servers that mean harm: what they send leads neither to files of this machine nor to other addresses."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio

from jspsr_cli.errors import FetchFailed, WrongTile
from jspsr_cli.fetch.fabdem import fetch_fabdem
from jspsr_cli.fetch.request import FabdemOptions
from jspsr_models.errors import DownloadFailed
from jspsr_models.weights import pull
from tests.fetch.archive import BUCKETS, Handler, Server, redirect, save_tile, serving, tile_name
from tests.fetch.conftest import CORNER, Fetch, archive, fetch, server
from tests.fetch.others import save_block
from tests.hostile.files import ESCAPES, listening, vrt

__all__ = ["archive", "fetch", "server"]  # fixtures

NAME = tile_name(44, 6)


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    with listening() as found:
        yield found


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1:9/x",
        "gopher://127.0.0.1:9/x",
        "/loop",
        "http://[",
        "http://a:99999/",
        "\xff",
    ],
)
def test_a_mirror_that_sends_elsewhere(fetch: Fetch, server: Server, tmp_path: Path, to: str) -> None:
    server.always = redirect(to)
    with pytest.raises(FetchFailed, match="cannot be followed"):
        fetch(CORNER)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1:9/x", "/loop"])
def test_a_mirror_of_weights_that_sends_elsewhere(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    server.always = redirect(to)
    monkeypatch.setenv("JSPSR_WEIGHTS_URL", f"{server.url}/{{id}}")
    with pytest.raises(DownloadFailed, match=r"answers 302|could not be downloaded \(unknown url type"):
        pull("jspsr-8m-image")
    assert not list((tmp_path / "cache" / "weights").iterdir())


@pytest.mark.parametrize("what", ["tile", "weights"])
def test_a_redirect_without_end_is_not_read(
    fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Its body would fill the memory, for as long as the server goes on."""
    taken: list[str] = []

    def endless(handler: Handler, _content: bytes, _first: int) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n")
        for _ in range(64):
            handler.wfile.write(bytes(2**20))  # fails when nobody reads any more
        taken.append(handler.path)

    server.always = endless
    monkeypatch.setenv("JSPSR_WEIGHTS_URL", f"{server.url}/{{id}}")
    with pytest.raises((FetchFailed, DownloadFailed), match=r"cannot be followed|answers 302"):
        fetch(CORNER) if what == "tile" else pull("jspsr-8m-image")
    assert server.requests
    assert taken == []


def hostile(tmp_path: Path, spoil: Callable[[Path], object]) -> Path:
    """A folder of tiles of which one is spoilt."""
    root = tmp_path / "mirror"
    for south, west in ((44, 6), (44, 7), (45, 6), (45, 7)):
        path = save_tile(root / BUCKETS[30], south, west, [CORNER])
        if (south, west) == (44, 6):
            spoil(path)
    return root


def lead(path: Path, address: str) -> None:
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{address}/o.tif")


@pytest.mark.parametrize("kind", ["overviews", "vrt"])
def test_a_tile_that_leads_elsewhere_is_refused_and_asks_nobody(
    fetch: Fetch, tmp_path: Path, web: tuple[str, list[str]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL asks the address that a tag of a tile names, or reads what a VRT does, whatever it is called."""
    address, asked = web

    def spoil(path: Path) -> None:
        if kind == "overviews":
            lead(path, address)
        else:
            path.write_text(vrt(f"/vsicurl/{address}/x.tif", path))

    with serving(hostile(tmp_path, spoil)) as mirror:
        monkeypatch.setenv("JSPSR_COPERNICUS_URL", mirror.url)
        with pytest.raises(WrongTile, match=NAME):
            fetch(CORNER)
    assert asked == []
    assert not (tmp_path / "out.tif").exists()


def test_names_in_a_zip_file_that_lead_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are found by their name alone and never unpacked: one of ../../ lies where any other does."""
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "a" / "b"
    save_block(source / "N40E000-N50E010_FABDEM_V1-2.zip", {(45, 9): (9, 45, 9.2, 45.2)}, folder=f"../../{ESCAPES}/")
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    options = FabdemOptions(buffer=0, source=str(source))
    report = fetch_fabdem(tmp_path / "out.tif", bounds=(9.1, 45.1, 9.101, 45.101), options=options)
    assert report.tiles == ("N45E009_FABDEM_V1-2.tif",)
    after = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    assert after - before == {tmp_path / "out.tif"}


def test_what_a_server_says_does_not_reach_the_terminal(server: Server, tmp_path: Path) -> None:
    from tests.test_enhance_command import invoke

    def answer(handler: object, _content: bytes, _first: int) -> None:
        handler.wfile.write(f"HTTP/1.1 403 {ESCAPES}\r\nContent-Length: 0\r\n\r\n".encode())  # type: ignore[attr-defined]

    server.always = answer
    done = invoke(["fetch-copernicus", "7.0", "45.0", "7.01", "45.01", "-o", str(tmp_path / "out.tif")])
    assert done.exit_code == 1
    assert "answers 403" in done.stderr
    assert not set(done.output) & set("\x1b\x07\u202e")
