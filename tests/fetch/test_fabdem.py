"""FABDEM: the pixels of tiles in remote zip files, what is said of them, and what can go wrong on the way."""

import json
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.errors import FetchFailed, InvalidOption, JspsrError, NotPublic, OutputExists, WrongTile
from jspsr_cli.fetch.blocks import block_name, tile_name
from jspsr_cli.fetch.fabdem import fetch_fabdem
from jspsr_cli.fetch.report import FetchReport
from jspsr_cli.fetch.request import FabdemOptions
from jspsr_cli.fetch.tiles import Tile
from jspsr_cli.main import cli
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.products import inherited, vertical_datum
from tests.fetch.archive import (
    Fault,
    Handler,
    Server,
    cut,
    garbled,
    good,
    ground,
    other_range,
    other_total,
    serving,
    spoilt,
    status,
    whole,
)
from tests.fetch.others import degrees, fabdem_name, save_block
from tests.scenes import Array, centres, heights_of

Fetch = Callable[..., FetchReport]

#: Where four blocks meet, and the ground that each of their tiles has there.
BOX = (119.96, 39.96, 120.04, 40.04)
CORNER = (119.99, 39.99, 120.01, 40.01)
ONE = (120.002, 40.002, 120.012, 40.012)
BLOCKS = {
    "N30E110-N40E120": (39, 119), "N30E120-N40E130": (39, 120), "N40E110-N50E120": (40, 119),
    "N40E120-N50E130": (40, 120),
}  # fmt: skip

#: A shore: a tile with ground in its west only, and no tile, nor a block, east of it; ground beyond 60 N.
SHORE = (9.9, 0.4, 10.0, 0.45)
NORTH = (20.4, 65.4, 20.5, 65.5)


def file_name(block: str) -> str:
    return f"{block}_FABDEM_V1-2.zip"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fabdem")
    for block, tile in BLOCKS.items():
        save_block(root / file_name(block), {tile: BOX}, compress="deflate")
    save_block(root / file_name("N00E000-N10E010"), {(0, 9): (9.9, 0.4, 9.95, 0.45)})
    save_block(root / file_name("N60E020-N70E030"), {(65, 20): NORTH})
    return root


@pytest.fixture
def server(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(archive) as server:
        monkeypatch.setenv("JSPSR_FABDEM_URL", address(server))
        monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr("jspsr_cli.fetch.download.FIRST_WAIT", 0.001)
        monkeypatch.setattr("jspsr_cli.fetch.index.shipped_index", lambda: frozenset({Tile(0, 9), Tile(3, 12)}))
        yield server


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    assert server

    def run(bounds: Any, *, output: str = "out.tif", **options: Any) -> FetchReport:
        chosen = FabdemOptions(**{"buffer": 0.0, **options})
        return fetch_fabdem(tmp_path / output, bounds=bounds, options=chosen)

    return run


def off(path: Path) -> Array:
    """How far heights are from the ground; NaN where there are none."""
    x, y, _ = centres(path)
    difference: Array = np.abs(heights_of(path) - ground(x, y).astype(np.float32))
    return difference


# Pixels


def test_four_blocks_are_one_without_seam_or_shift(fetch: Fetch, tmp_path: Path, server: Server, archive: Path) -> None:
    report = fetch(CORNER)
    assert off(tmp_path / "out.tif").max() < 1e-4
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.width, dataset.height) == (report.width, report.height) == (73, 73)
        assert dataset.transform.c * 3600 % 1 == pytest.approx(0.5, abs=1e-6)
    assert report.tiles == tuple(fabdem_name(*BLOCKS[b]) for b in (
        "N40E110-N50E120", "N40E120-N50E130", "N30E110-N40E120", "N30E120-N40E130"))  # fmt: skip
    assert (report.sea_tiles, report.warnings) == (0, ())
    # Of each zip file: its size, its end, the local header, the header of the tile and its blocks.
    assert len(server.requests) <= 5 * 4
    sizes = sum((archive / file_name(block)).stat().st_size for block in BLOCKS)
    assert report.bytes_fetched == server.sent < sizes / 2


def test_tiles_have_square_pixels_in_the_north_too(fetch: Fetch, tmp_path: Path) -> None:
    report = fetch((20.41, 65.41, 20.49, 65.49))
    assert off(tmp_path / "out.tif").max() < 1e-4
    assert (report.width, report.height) == (289, 289)


def test_across_the_antimeridian(fetch: Fetch, tmp_path: Path, archive: Path) -> None:
    save_block(archive / file_name("S20E170-S10W180"), {(-17, 179): (179.98, -16.5, 180, -16.4)})
    save_block(archive / file_name("S20W180-S10W170"), {(-17, -180): (-180.001, -16.5, -179.98, -16.4)})
    report = fetch((179.99, -16.49, -179.99, -16.48))
    assert report.tiles == ("S17E179_FABDEM_V1-2.tif", "S17W180_FABDEM_V1-2.tif")
    assert report.bounds[0] < 180 < report.bounds[2]
    assert off(tmp_path / "out.tif").max() < 1e-4


def test_what_the_output_says_of_itself(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    report = fetch(ONE)
    assert "CC BY-NC-SA" in report.notes[0]
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.nodata, dataset.units, dataset.tags()["AREA_OR_POINT"]) == (-9999.0, ("metre",), "Point")
        tags = dataset.tags()
    assert json.loads(tags["JSPSR_TILES"]) == ["N40E120_FABDEM_V1-2.tif"]
    assert tags["JSPSR_SOURCE"] == address(server)
    (tmp_path / "out.tif").rename(tmp_path / "dem.tif")  # a name that does not tell
    (file,) = open_dem([str(tmp_path / "dem.tif")])
    datum = vertical_datum(file)
    assert datum is not None
    assert datum.name == "EGM2008 height (EPSG:3855)"
    assert inherited([file]) == (
        ["FABDEM: CC BY-NC-SA 4.0: what is derived from it inherits that"],
        ["FABDEM V1-2, Hawker et al. 2022, University of Bristol, CC BY-NC-SA 4.0"],
    )


# The sea, and where there is nothing


@pytest.mark.parametrize("sea", ["nodata", "0"])
def test_the_sea(fetch: Fetch, tmp_path: Path, sea: str) -> None:
    """Pixels without data in a tile, no tile in a block, and no block at all are one sea."""
    report = fetch((9.94, 0.41, 10.01, 0.42), sea=sea)
    x, _, _ = centres(tmp_path / "out.tif")
    heights = heights_of(tmp_path / "out.tif")
    land = x < 9.95 - 1 / 3600
    assert off(tmp_path / "out.tif")[land].max() < 1e-4
    beyond = heights[x > 9.95 + 1 / 3600]
    assert np.isnan(beyond).all() if sea == "nodata" else (beyond == 0).all()
    assert (report.tiles, report.sea_tiles, report.warnings) == (("N00E009_FABDEM_V1-2.tif",), 1, ())


@pytest.mark.parametrize("sea", ["nodata", "0"])
def test_land_that_fabdem_lacks_is_no_sea(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sea: str
) -> None:
    monkeypatch.setattr("jspsr_cli.fetch.index.shipped_index", lambda: frozenset({Tile(0, 9), Tile(0, 10)}))
    for _ in range(2):
        report = fetch((9.94, 0.41, 10.01, 0.42), sea=sea)
        assert report.warnings == ("FABDEM has no tile at N00E010, where there is land: it has no data there",)
        assert report.sea_tiles == 0
    assert np.isnan(heights_of(tmp_path / "out.tif")[:, -30:]).all()


def test_an_area_without_a_tile_is_a_sentence(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    for box in [(-29.9, 0.1, -29.8, 0.2), (3.1, 3.1, 3.2, 3.2)]:  # no block, no tile in the block
        with pytest.raises(
            NotPublic, match=r"no tile in the area at http.*JSPSR_FABDEM_URL or --source, .*fetch-fabdem --refresh"
        ):
            fetch(box)
    assert not list(tmp_path.glob("out*"))
    before = len(server.requests)
    with pytest.raises(NotPublic, match="no tile"):
        fetch((-29.9, 0.1, -29.8, 0.2))
    assert len(server.requests) == before  # it is known by now
    with pytest.raises(NotPublic, match="no tile"):
        fetch((-29.9, 0.1, -29.8, 0.2), refresh=True)
    assert len(server.requests) == before + 1


@pytest.mark.parametrize("box", [(0, 79.5, 1, 80.5), (0, -61, 1, -60.5), (0, 81, 1, 82)])
def test_beyond_80_north_and_60_south_is_a_sentence(fetch: Fetch, server: Server, box: tuple[float, ...]) -> None:
    with pytest.raises(NotPublic, match="reaches from 60 S to 80 N and the area from"):
        fetch(box)
    assert not server.requests


def test_a_buffer_ends_where_fabdem_does(fetch: Fetch, tmp_path: Path, archive: Path) -> None:
    save_block(archive / file_name("S60W070-S50W060"), {(-60, -70): (-69.6, -60, -69.3, -59.9)})
    report = fetch((-69.5, -59.99, -69.4, -59.98), buffer=5000)
    assert (report.sea_tiles, report.tiles) == (0, ("S60W070_FABDEM_V1-2.tif",))
    assert off(tmp_path / "out.tif").max() < 1e-4
    assert report.bounds[1] == pytest.approx(-60, abs=0.6 / 3600)


def test_the_northernmost_tile_is_all_there(fetch: Fetch, tmp_path: Path, archive: Path) -> None:
    """Half a pixel of it lies beyond 80 N, and so does a raster of its extent."""
    north = 80 + 0.5 / 3600
    save_block(archive / file_name("N70E060-N80E070"), {(79, 60): (60.4, 79.99, 60.5, north)})
    report = fetch((60.41, 79.995, 60.42, north))
    assert report.bounds[3] == pytest.approx(north, abs=1e-9)
    assert report.sea_tiles == 0
    assert off(tmp_path / "out.tif").max() < 1e-4


# Names


@given(st.integers(-60, 79), st.integers(-180, 179))
def test_names_of_blocks_and_tiles(south: int, west: int) -> None:
    name = block_name(Tile(south, west))
    around = [(s, w, e) for s in range(-60, 80, 10) for w in range(-180, 180, 10)
              for e in [w + 10 if w < 170 else -180] if s <= south < s + 10 and w <= west < w + 10]  # fmt: skip
    ((s, w, e),) = around
    assert name == f"{degrees(s, w)}-{degrees(s + 10, e)}_FABDEM_V1-2.zip"
    assert tile_name(Tile(south, west)) == fabdem_name(south, west)


def test_names_as_published() -> None:
    assert block_name(Tile(-9, -1)) == "S10W010-N00E000_FABDEM_V1-2.zip"
    assert block_name(Tile(-18, 178)) == "S20E170-S10W180_FABDEM_V1-2.zip"
    assert (block_name(Tile(38, 119)), tile_name(Tile(38, 119))) == (
        "N30E110-N40E120_FABDEM_V1-2.zip", "N38E119_FABDEM_V1-2.tif",
    )  # fmt: skip


# Faults

#: One after the other for one range of bytes, then for ranges that come as they should.
TRANSPORT = [status(503), status(429, Retry_After="0"), cut(10), other_range]
FAULTS: dict[str, list[Fault]] = {
    "transport": TRANSPORT,
    "other size": [other_total],
    "garbled": [garbled],
    "spoilt": [spoilt],
}


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_do_not_show(fetch: Fetch, server: Server, tmp_path: Path, fault: str, place: int) -> None:
    """In the size of the zip file, its directory, the local header, the header of the tile or its pixels."""
    server.faults = [good] * place + FAULTS[fault]
    fetch(ONE)
    assert not server.faults
    assert off(tmp_path / "out.tif").max() < 1e-4


def test_a_server_that_ignores_ranges(
    fetch: Fetch, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = whole
    fetch(ONE)
    assert off(tmp_path / "out.tif").max() < 1e-4
    monkeypatch.setattr("jspsr_cli.fetch.download.LONGEST_SKIP", 1000)
    with pytest.raises(FetchFailed, match="ignores ranges and would send the whole file"):
        fetch((119.99, 39.99, 119.995, 39.995), output="other.tif")


def sizeless(handler: Handler, content: bytes, first: int) -> None:
    """Answer without the size of the whole."""
    handler.send_range(content, first, handler.asked[1], total="*")


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (status(503), FetchFailed, "answers 503.*5 times"),
        (status(403), FetchFailed, "^N40E120_FABDEM_V1-2.tif cannot .* answers 403 .*JSPSR_FABDEM_URL or --source"),
        (spoilt, JspsrError, "damaged"),
        (garbled, WrongTile, "damaged"),
        (sizeless, WrongTile, "comes without its size"),
    ],
)
def test_a_fault_that_stays_is_a_sentence(
    fetch: Fetch, server: Server, tmp_path: Path, fault: Fault, error: type[JspsrError], sentence: str
) -> None:
    server.always = fault
    with pytest.raises(error, match=sentence) as caught:
        fetch(ONE)
    assert str(caught.value).endswith(".")
    assert str(caught.value).count(address(server)) == 1
    assert not list(tmp_path.glob("out*"))
    server.always = None
    fetch(ONE)


def test_pixels_that_stay_damaged_are_a_sentence(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    fetch((120.03, 40.002, 120.035, 40.003))  # directory and headers
    server.always = spoilt
    with pytest.raises(WrongTile, match=r"N40E120_FABDEM_V1-2.tif .* is damaged"):
        fetch((120.002, 40.03, 120.003, 40.035), overwrite=True)
    assert off(tmp_path / "out.tif").shape[1] > 15  # the old one


# Zip files of all kinds


@pytest.mark.parametrize("compress", ["deflate", "lzw"])
@pytest.mark.parametrize("kind", ["ZIP64", "comment", "folder", "large"])
def test_zip_files_of_all_kinds(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, compress: str
) -> None:
    block = tmp_path / "own" / file_name("N40E120-N50E130")
    with monkeypatch.context() as patch:
        if kind == "ZIP64":
            patch.setattr(zipfile, "ZIP64_LIMIT", 100)
            patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        save_block(
            block, {(40, 120): BOX, (41, 120): (120, 41, 120.1, 41.1)}, compress=compress,
            comment=b"x" * 60_000 if kind == "comment" else b"", folder="a/" if kind == "folder" else "",
        )  # fmt: skip
    if kind == "large":  # what comes first makes all offsets larger than 32 bits: holes
        moved(block, by=5 * 2**30)
        fetch(ONE, source=str(tmp_path / "own"))
    else:
        assert (b"PK\x06\x06" in block.read_bytes()) == (kind == "ZIP64")
        with serving(tmp_path / "own") as server:
            fetch(ONE, source=address(server))
    assert off(tmp_path / "out.tif").max() < 1e-4


def moved(block: Path, *, by: int) -> None:
    """Put the tiles of a zip file behind a hole, with a directory that is right."""
    with zipfile.ZipFile(block) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    with block.open("wb") as file:
        file.seek(by)
        with zipfile.ZipFile(file, "w") as new:
            for name, content in contents.items():
                new.writestr(name, content)


def test_a_compressed_tile_is_a_sentence(fetch: Fetch, tmp_path: Path) -> None:
    save_block(tmp_path / "own" / file_name("N40E120-N50E130"), {(40, 120): BOX}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WrongTile, match=r"N40E120_FABDEM_V1-2.tif is compressed in N40E120.*zip .*: unpack that file"):
        fetch(ONE, source=str(tmp_path / "own"))


def html(_: bytes) -> bytes:
    return b"<html>Please log in</html>" * 2000


def truncated(content: bytes) -> bytes:
    return content[:-40]


def endless(content: bytes) -> bytes:
    """A directory that says it has almost 4 GB, in a file that says so too."""
    return content[:-10] + struct.pack("<II", 2**32 - 2, 0) + content[-2:]


def beyond(content: bytes) -> bytes:
    """The tile is said to begin at the end of the file."""
    place = content.rindex(b"PK\x01\x02")
    return content[: place + 42] + struct.pack("<I", len(content) - 31) + content[place + 46 :]


def no_tile(content: bytes) -> bytes:
    """The local header is not one."""
    return content.replace(b"PK\x03\x04", b"XX\x03\x04")


@pytest.mark.parametrize("spoil", [html, truncated, endless, beyond, no_tile, lambda _: b""])
def test_what_is_no_zip_file_is_a_sentence(
    fetch: Fetch, tmp_path: Path, archive: Path, spoil: Callable[[bytes], bytes]
) -> None:
    name = file_name("N40E120-N50E130")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_bytes(spoil((archive / name).read_bytes()))
    with pytest.raises(WrongTile, match=rf"{name} .* is damaged") as caught:
        fetch(ONE, source=str(tmp_path / "own"))
    assert spoil is not html or str(caught.value).endswith("or whether a proxy answers in its place.")
    assert not list(tmp_path.glob("out*"))


def test_a_tile_that_is_another_is_a_sentence(fetch: Fetch, tmp_path: Path) -> None:
    block = save_block(tmp_path / "own" / file_name("N40E120-N50E130"), {(41, 120): (120, 41, 120.1, 41.1)})
    block.write_bytes(block.read_bytes().replace(b"N41E120", b"N40E120"))
    with pytest.raises(WrongTile, match=r"N40E120_FABDEM_V1-2.tif .* lies elsewhere"):
        fetch(ONE, source=str(tmp_path / "own"))


def test_a_block_that_was_replaced_since(fetch: Fetch, tmp_path: Path) -> None:
    """Its directory and a header are kept, and lead to other bytes by now: all is read anew."""
    block = tmp_path / "own" / file_name("N40E120-N50E130")
    save_block(block, {(40, 120): BOX})
    with serving(tmp_path / "own") as server:
        fetch((120.03, 40.002, 120.035, 40.003), source=address(server))
        save_block(block, {(41, 120): (120, 41, 120.1, 41.1), (40, 120): BOX}, comment=b"new")
        fetch(ONE, source=address(server), overwrite=True)
    assert off(tmp_path / "out.tif").max() < 1e-4


# Once


def test_the_same_command_again_does_nothing(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    first = fetch(ONE)
    before, asked = (tmp_path / "out.tif").stat().st_mtime_ns, len(server.requests)
    again = fetch(ONE)
    assert (again.already_done, again.tiles, len(server.requests)) == (True, first.tiles, asked)
    assert (len(first.notes), again.notes) == (1, ())
    assert (tmp_path / "out.tif").stat().st_mtime_ns == before
    for change in ({"sea": "0"}, {"buffer": 100.0}):
        with pytest.raises(OutputExists, match="--overwrite"):
            fetch(ONE, **change)


def test_what_was_fetched_needs_no_network(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    fetch((9.94, 0.41, 10.01, 0.42))
    before = (tmp_path / "out.tif").read_bytes()
    server.always = status(503)
    asked = len(server.requests)
    report = fetch((9.94, 0.41, 10.01, 0.42), overwrite=True)
    assert (len(server.requests), report.bytes_fetched) == (asked, 0)
    assert (tmp_path / "out.tif").read_bytes() == before


def test_two_at_once_fetch_each_byte_once(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    runs = [threading.Thread(target=fetch, args=(CORNER,), kwargs={"output": f"{i}.tif"}) for i in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for i in range(3):
        assert off(tmp_path / f"{i}.tif").max() < 1e-4
    asked = [(request.path, request.first) for request in server.requests]
    assert len(asked) == len(set(asked))


# The command


def test_the_command(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server
    monkeypatch.chdir(tmp_path)
    words = ["fetch-fabdem", *map(str, ONE), "--buffer", "100"]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert (done.exit_code, done.stderr.count("CC BY-NC-SA 4.0")) == (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert (report["output"], report["tiles"]) == ("fabdem.tif", ["N40E120_FABDEM_V1-2.tif"])
    assert "is there already" in CliRunner().invoke(cli, words).stdout
    wrong = CliRunner().invoke(cli, ["fetch-fabdem", "0", "80", "1", "81"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "reaches from 60 S to 80 N" in wrong.stderr
    with pytest.raises(InvalidOption, match="sea 5"):
        FabdemOptions(sea="5")  # type: ignore[arg-type]


@pytest.mark.network
def test_the_public_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mont Blanc is where it is, and some hundred metres of it take a few megabytes of a zip file of two gigabytes."""
    monkeypatch.delenv("JSPSR_FABDEM_URL", raising=False)
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    options = FabdemOptions(buffer=0)
    report = fetch_fabdem(tmp_path / "out.tif", bounds=(6.86, 45.83, 6.87, 45.835), options=options)
    assert heights_of(tmp_path / "out.tif").max() == pytest.approx(4806, abs=20)
    assert report.bytes_fetched < 6e7
