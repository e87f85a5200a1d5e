"""A server, and a way to it, that fail in every way that they can: the pixels are right, or a sentence says why not."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from jspsr_cli.errors import FetchFailed, InvalidOption, JspsrError, MissingTile, WrongTile
from jspsr_cli.fetch.download import ATTEMPTS, Downloader, shown
from jspsr_cli.fetch.pieces import LONGEST, TRIES, spans
from jspsr_cli.fetch.request import COPERNICUS_ORIGIN, source_of
from tests.fetch.archive import (
    BUCKETS,
    Fault,
    Server,
    cut,
    dripping,
    garbled,
    good,
    other_range,
    other_total,
    redirect,
    save_tile,
    serving,
    shorter,
    silent,
    spoilt,
    status,
    tile_name,
    whole,
)
from tests.fetch.conftest import CORNER, Fetch
from tests.fetch.test_copernicus import inner
from tests.scenes import Array, heights_of

#: Ground of one tile only.
ONE = (7.01, 45.01, 7.04, 45.04)
NAME = tile_name(45, 7)


@pytest.fixture
def truth(archive: Path) -> Array:
    with rasterio.open(archive / BUCKETS[30] / NAME / f"{NAME}.tif") as dataset:
        row, col = dataset.index(ONE[0], ONE[3])
        heights: Array = dataset.read(1)
        return heights[row : row + 109, col : col + 109]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_cli.fetch.download.READ_TIMEOUT", 0.1)
    monkeypatch.setattr("jspsr_cli.fetch.download.SLOWEST", 10**9)


# Faults that pass

FAULTS: dict[str, Fault] = {
    "503": status(503),
    "500": status(500),
    "429": status(429, Retry_After="0"),
    "408": status(408),
    "cut at once": cut(0),
    "cut after 1000 bytes": cut(1000),
    "cut after 20,000 bytes": cut(20_000),
    "other bytes": other_range,
    "other size": other_total,
    "half of what was asked for": shorter,
    "spoilt": spoilt,
    "garbled": garbled,
    "silent": silent(0.3),
    "dripping": dripping,
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", ["header", "blocks", "both"])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_does_not_show(
    fetch: Fetch, server: Server, tmp_path: Path, truth: Array, fault: str, place: str
) -> None:
    server.faults = {"header": [FAULTS[fault]], "blocks": [good, FAULTS[fault]], "both": [FAULTS[fault]] * 2}[place]
    fetch(ONE)
    assert not server.faults
    assert np.array_equal(heights_of(tmp_path / "out.tif"), truth)


def test_a_server_that_ignores_ranges(fetch: Fetch, server: Server, tmp_path: Path, truth: Array) -> None:
    server.always = whole
    fetch(ONE)
    assert np.array_equal(heights_of(tmp_path / "out.tif"), truth)


def test_a_server_is_left_alone_for_as_long_as_it_asks(
    fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="jspsr_cli")
    waits: list[float] = []
    monkeypatch.setattr(Downloader, "_pause", lambda _self, seconds: waits.append(seconds))
    asked = ["7", "", "Wed, 21 Oct 2026 07:28:00 GMT", "86400"]
    server.faults = [status(429, Retry_After=after) for after in asked]
    fetch(ONE)
    assert waits[0] == 7
    assert waits[1] < waits[2] < 0.01  # ours, which double
    assert waits[3] == 60  # not for ever
    said = [record.getMessage() for record in caplog.records if "again in" in record.getMessage()]
    assert len(said) == len(asked)
    assert re.fullmatch(rf"{NAME}: {server.url}/\S+ answers 429 Too Many Requests: again in 7\.0 s", said[0])


# Faults that stay


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "error", "sentence", "asked"),
    [
        (status(503), FetchFailed, r"answers 503 Service Unavailable, 5 times", ATTEMPTS),
        (status(429, Retry_After="0"), FetchFailed, "answers 429", ATTEMPTS),
        (cut(1000), FetchFailed, r"cannot be reached|broke off", ATTEMPTS),
        (other_range, FetchFailed, "other bytes", ATTEMPTS),
        (shorter, FetchFailed, "broke off", ATTEMPTS),
        (dripping, FetchFailed, "sends less than", ATTEMPTS),
        (silent(0.3), FetchFailed, "timed out", ATTEMPTS),
        (
            status(404),
            MissingTile,
            r"is not at \S+: check JSPSR_COPERNICUS_URL or --source, .*jspsr fetch-copernicus --refresh",
            1,
        ),
        (status(403), FetchFailed, "answers 403 .*: check JSPSR_COPERNICUS_URL or --source", 1),
        (redirect("file:///etc/passwd"), FetchFailed, "cannot be followed", 1),
        (redirect("ftp://127.0.0.1/x.tif"), FetchFailed, "cannot be followed", 1),
        (redirect("/again.tif"), FetchFailed, "cannot be followed", 6),
        (spoilt, WrongTile, "is damaged", None),
    ],
)
def test_a_fault_that_stays_is_a_sentence(
    fetch: Fetch,
    server: Server,
    tmp_path: Path,
    fault: Fault,
    error: type[JspsrError],
    sentence: str,
    asked: int | None,
) -> None:
    server.always = fault
    with pytest.raises(error, match=sentence) as caught:
        fetch(ONE)
    said = str(caught.value)
    assert NAME in said
    assert server.url in said
    assert said.endswith(".")
    assert caught.value.exit_code == 1
    assert asked is None or len(server.requests) == asked
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out.tif")]
    server.always = None
    fetch(ONE)


def test_a_dead_server_is_a_sentence(fetch: Fetch) -> None:
    with pytest.raises(
        FetchFailed, match=rf"{NAME} cannot be fetched: http://127.0.0.1:9/x/\S* cannot be reached \([^()]*refused\)"
    ):
        fetch(ONE, source="http://127.0.0.1:9/x/")


def test_a_redirect_is_followed(fetch: Fetch, server: Server, tmp_path: Path, truth: Array) -> None:
    server.faults = [redirect(f"{server.url}/{NAME}/{NAME}.tif")]
    fetch(ONE)
    assert np.array_equal(heights_of(tmp_path / "out.tif"), truth)


# Files that are something else


def html(bucket: Path) -> None:
    path = bucket / NAME / f"{NAME}.tif"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>Please log in</html>" * 2000)


def truncated(bucket: Path) -> None:
    path = save_tile(bucket, 45, 7, [CORNER])
    path.write_bytes(path.read_bytes()[:20_000])


def another_driver(bucket: Path) -> None:
    """A VRT that reads a file of the machine."""
    path = bucket / NAME / f"{NAME}.tif"
    path.parent.mkdir(parents=True)
    path.write_text(f'<VRTDataset rasterXSize="3600" rasterYSize="3600"><SourceFilename>{path}</SourceFilename>')


def another_tile(south: int, west: int, **profile: Any) -> Callable[[Path], None]:
    def make(bucket: Path) -> None:
        made = save_tile(bucket, south, west, [(west, south, west + 0.1, south + 0.1)], **profile)
        (bucket / NAME).mkdir(parents=True, exist_ok=True)
        shutil.move(made, bucket / NAME / f"{NAME}.tif")

    return make


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (html, r"no Cloud Optimized GeoTIFF: check the address, or whether a proxy answers in its place\.$"),
        (another_driver, "damaged, or no Cloud Optimized GeoTIFF"),
        (truncated, "ends before its last block"),
        (another_tile(44, 7), "lies elsewhere"),
        (another_tile(60, 7), "has 1800 x 3600 pixels and not 3600 x 3600"),
        (another_tile(45, 7, dtype="int16"), "has 1 bands of int16"),
        (another_tile(45, 7, count=2), "has 2 bands"),
        (another_tile(45, 7, crs="EPSG:4258"), "not in longitude and latitude"),
    ],
)
def test_what_is_not_the_tile_is_named(
    fetch: Fetch, tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path / "wrong")
    for source in (str(tmp_path / "wrong"), None):
        with serving(tmp_path) as server, pytest.raises(WrongTile, match=sentence) as caught:
            fetch(ONE, source=source or server.url.replace(BUCKETS[30], "wrong"))
        assert NAME in str(caught.value)
    assert not (tmp_path / "out.tif").exists()


def test_a_tile_that_changes_its_size_while_it_is_read(fetch: Fetch, server: Server) -> None:
    server.faults = [good, other_total] * TRIES
    with pytest.raises(WrongTile, match=rf"{NAME} .*was replaced"):
        fetch(ONE)
    assert not server.faults


def test_a_tile_that_was_replaced_since(fetch: Fetch, tmp_path: Path) -> None:
    """What is kept of the old one is thrown away, not mixed with the new one."""
    save_tile(tmp_path / "bucket", 45, 7, [CORNER, (7.4, 45.4, 7.5, 45.5)])
    with serving(tmp_path) as server:
        source = server.url.replace(BUCKETS[30], "bucket")
        fetch(ONE, source=source)
        shutil.rmtree(tmp_path / "bucket")
        save_tile(tmp_path / "bucket", 45, 7, [(7, 45, 7.6, 45.6)])
        fetch((7.41, 45.41, 7.42, 45.42), source=source, overwrite=True)
    fetch((7.41, 45.41, 7.42, 45.42), source=str(tmp_path / "bucket"), output="fresh.tif")
    assert np.array_equal(heights_of(tmp_path / "out.tif"), heights_of(tmp_path / "fresh.tif"))


def test_blocks_are_kept_for_their_own_header_only(fetch: Fetch, tmp_path: Path) -> None:
    """The new file differs in a byte of the header and in a block, which is damaged and as long as the old one."""
    path = save_tile(tmp_path / "bucket", 45, 7, [CORNER])
    with serving(tmp_path) as server:
        source = server.url.replace(BUCKETS[30], "bucket")
        fetch(ONE, source=source)
        for header in (tmp_path / "cache").rglob("header"):
            header.unlink()
        content = bytearray(
            path.read_bytes().replace(b"KNOWN_INCOMPATIBLE_EDITION=NO", b"KNOWN_INCOMPATIBLE_EDITION=No")
        )
        content[30_000:30_064] = bytes(64)
        path.write_bytes(content)
        with pytest.raises(WrongTile, match="damaged"):
            fetch(ONE, source=source, overwrite=True)


# Sources


def test_sources(fetch: Fetch, archive: Path, server: Server, tmp_path: Path, truth: Array) -> None:
    bucket = archive / BUCKETS[30]
    for source in (str(bucket), bucket.as_uri(), f"{server.url}/", server.url.replace("http", "HTTP", 1)):
        fetch(ONE, source=source, overwrite=True)
        assert np.array_equal(heights_of(tmp_path / "out.tif"), truth)


@pytest.mark.parametrize(
    ("choice", "variable", "expected"),
    [
        (None, None, COPERNICUS_ORIGIN.public),
        (None, "https://mirror.example/dem/", "https://mirror.example/dem"),
        ("http://a", "http://b", "http://a"),
        ("s3://copernicus-dem-30m/", None, "https://copernicus-dem-30m.s3.amazonaws.com"),
        ("s3://mine/a/b/", None, "https://mine.s3.amazonaws.com/a/b"),
    ],
)
def test_addresses(monkeypatch: pytest.MonkeyPatch, choice: str | None, variable: str | None, expected: str) -> None:
    monkeypatch.delenv("JSPSR_COPERNICUS_URL", raising=False)
    if variable:
        monkeypatch.setenv("JSPSR_COPERNICUS_URL", variable)
    assert source_of(choice) == expected


@pytest.mark.parametrize("choice", ["ftp://a/b", "nowhere", "http://", "gs://bucket"])
def test_addresses_that_cannot_work(choice: str) -> None:
    with pytest.raises(InvalidOption, match="is no source"):
        source_of(choice)


def test_a_proxy_is_used(fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch, truth: Array) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    report = fetch(ONE, source=f"http://archive.invalid/{BUCKETS[30]}")
    assert np.array_equal(heights_of(Path(report.output)), truth)


def test_a_password_in_the_address_is_not_told(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    source = server.url.replace("http://", "http://me:secret@")
    server.always = status(403)
    with pytest.raises(FetchFailed) as caught:
        fetch(ONE, source=source)
    assert "secret" not in str(caught.value)
    server.always = None
    fetch(ONE, source=source)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert not [value for value in dataset.tags().values() if "secret" in value]
    assert shown("https://me:secret@a.b/c?d") == "https://a.b/c?d"


def test_the_list_of_tiles_anew(fetch: Fetch, archive: Path, server: Server, tmp_path: Path) -> None:
    """A list without the tile makes sea of it, now and from now on; one that is no list is refused."""
    names = archive / BUCKETS[30] / "tileList.txt"
    try:
        names.write_bytes("\r\n".join([tile_name(44, 7), tile_name(44, 6), ""]).encode())
        assert fetch(ONE, refresh=True, overwrite=True).tiles == ()
        names.unlink()
        assert fetch(ONE, overwrite=True).sea_tiles == 1
        with pytest.raises(MissingTile, match=r"list of tiles is not at .*tileList\.txt"):
            fetch(ONE, refresh=True, overwrite=True)
        names.write_text("<html>")
        with pytest.raises(FetchFailed, match="names no tile"):
            fetch(ONE, refresh=True, overwrite=True)
    finally:
        names.unlink(missing_ok=True)
    assert [path.name for path in (tmp_path / "cache" / "fetched").iterdir() if re.match(r"tiles\.", path.name)]
    assert len(server.requests) == 3


# Requests


def test_blocks_that_lie_together_come_together() -> None:
    blocks = [(5_000_000, 10), (100, 50), (158, 1000), (70_000, 5), (10**7, LONGEST), (10**7 + LONGEST + 8, 10)]
    assert list(spans(blocks)) == [
        [(100, 50), (158, 1000)], [(70_000, 5)], [(5_000_000, 10)], [(10**7, LONGEST)], [(10**7 + LONGEST + 8, 10)],
    ]  # fmt: skip
    assert not list(spans([]))


@pytest.mark.network
def test_the_public_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mont Blanc is where it is, and some hundred metres of it take a few megabytes."""
    from jspsr_cli.fetch.copernicus import fetch_copernicus
    from jspsr_cli.fetch.request import FetchOptions

    monkeypatch.delenv("JSPSR_COPERNICUS_URL", raising=False)
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    options = FetchOptions(buffer=0, refresh=True)
    report = fetch_copernicus(tmp_path / "out.tif", bounds=(6.86, 45.83, 6.87, 45.835), options=options)
    assert heights_of(tmp_path / "out.tif").max() == pytest.approx(4806, abs=15)
    assert report.bytes_fetched < 2e7
    assert os.path.getsize(tmp_path / "out.tif") < 1e5


def test_inner_is_inside() -> None:
    assert inner(CORNER)[0] > CORNER[0]
