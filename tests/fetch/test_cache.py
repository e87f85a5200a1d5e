"""The cache: shared by many, bounded, never with half a piece, enough to work without a network."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jspsr_cli.errors import FetchFailed, OutputNotWritable
from jspsr_cli.fetch.cache import Cache
from jspsr_cli.fetch.parallel import in_threads
from tests.fetch.archive import Server, cut, status
from tests.fetch.conftest import CORNER, SIXTY, Fetch
from tests.fetch.test_copernicus import inner
from tests.scenes import heights_of


def pieces(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "pieces").rglob("*") if path.is_file())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in pieces(folder))


def never() -> bool:
    return False


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path, limit=10_000)


# Pieces


def test_a_piece_is_read_back_until_it_is_forgotten(cache: Cache) -> None:
    cache.put("a/b/1", b"one")
    cache.put("a/b/1", b"another")
    cache.put("a/c/1", b"")
    assert (cache.get("a/b/1"), cache.get("a/c/1"), cache.get("a/b/2"), cache.get("a/b")) == (
        b"another",
        b"",
        None,
        None,
    )
    cache.forget("a/b")
    cache.forget("never there")
    assert (cache.get("a/b/1"), cache.get("a/c/1")) == (None, b"")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:0], lambda b: b[:40] + b"x" + b[41:], lambda b: b + b"x"]
)
def test_a_damaged_piece_is_not_there(cache: Cache, tmp_path: Path, damage: object) -> None:
    cache.put("a", b"some content that is longer than its digest")
    (path,) = pieces(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert cache.get("a") is None
    assert not pieces(tmp_path)


def test_the_least_recently_used_make_room(cache: Cache, tmp_path: Path) -> None:
    for i in range(8):
        cache.put(f"a/{i}", bytes(2000))
        os.utime(tmp_path / "pieces" / "a" / str(i), (1e9 + i, 1e9 + i))
    assert cache.get("a/0") is not None  # used just now
    cache.trim()
    assert [path.name for path in pieces(tmp_path)] == ["0", "5", "6", "7"]
    assert size(tmp_path) <= 10_000


def test_parts_of_killed_processes_are_removed_and_fresh_ones_kept(cache: Cache, tmp_path: Path) -> None:
    cache.put("a", b"a")
    for name, age in ((".a.1.part", 10_000.0), (".a.2.part", 0.0)):
        path = tmp_path / "pieces" / name
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    cache.trim()
    assert [path.name for path in pieces(tmp_path)] == [".a.2.part", "a"]


def test_nothing_is_kept_without_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=0)
    cache.put("a", b"a")
    assert (cache.get("a"), pieces(tmp_path)) == (None, [])


def test_what_others_kept_is_left_alone_where_nothing_is_kept(cache: Cache, tmp_path: Path) -> None:
    """A mirror on this disk is no reason to empty the cache of the archives that are far away."""
    cache.put("a", b"a")
    local = Cache(tmp_path, limit=None)
    local.put("b", b"b")
    local.trim()
    assert (local.get("a"), cache.get("a"), cache.get("b")) == (None, b"a", None)


def test_folders_that_vanish_while_room_is_made(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process forgets a tile that came damaged."""
    for key in ("a/1", "b/1", "c/1"):
        cache.put(key, bytes(6000))
    scan, folder = os.scandir, tmp_path / "pieces"

    def scandir(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) != folder and (folder / "b").exists():
            (folder / "b").rename(tmp_path / "b")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    cache.trim()
    assert len(pieces(tmp_path)) == 1


def test_one_at_a_time_works_on_a_key(cache: Cache) -> None:
    inside, most = 0, 0

    def work(_number: int) -> None:
        nonlocal inside, most
        with cache.locked("a/b", cancelled=never):
            inside += 1
            most = max(most, inside)
            inside -= 1

    list(in_threads(work, range(20), threads=4, cancel=never))
    assert most == 1


def test_waiting_for_a_lock_ends_when_nothing_is_wanted_any_more(cache: Cache, tmp_path: Path) -> None:
    with (
        cache.locked("a", cancelled=never),
        pytest.raises(FetchFailed, match="no longer wanted"),
        Cache(tmp_path, limit=1).locked("a", cancelled=lambda: True),
    ):
        pass


def test_a_cache_that_cannot_be_written_is_a_sentence(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputNotWritable, match=r"cache .* cannot be written.*set JSPSR_CACHE") as caught:
        fetch(inner(CORNER))
    assert caught.value.exit_code == 2
    assert not server.requests


# Threads


def test_results_come_as_they_are_ready_and_the_first_error_ends_all() -> None:
    gate, cancelled = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item == 0:
            gate.wait(10)
        return item * 10

    found = in_threads(work, [0, 1, 2], threads=2, cancel=cancelled.set)
    assert sorted(next(found) for _ in range(2)) == [(1, 10), (2, 20)]
    gate.set()
    assert list(found) == [(0, 0)]
    assert cancelled.is_set()
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // item, [0, 0], threads=2, cancel=never))
    assert not list(in_threads(work, [], threads=2, cancel=never))


# Runs


def test_the_network_is_needed_once(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    fetch(inner(CORNER))
    asked = len(server.requests)
    server.always = status(503)
    report = fetch(inner(CORNER, 0.4), output="inner.tif")  # other pixels of the same blocks
    assert (len(server.requests), report.bytes_fetched) == (asked, 0)
    whole, part = heights_of(tmp_path / "out.tif"), heights_of(tmp_path / "inner.tif")
    edge = (whole.shape[0] - part.shape[0]) // 2
    assert np.array_equal(whole[edge:-edge, edge:-edge], part)


def test_a_run_goes_on_with_what_is_there(fetch: Fetch, server: Server) -> None:
    good = len(server.requests) + 3
    server.faults = [None] * good  # type: ignore[list-item]
    server.always = cut(10)
    with pytest.raises(FetchFailed):
        fetch(inner(SIXTY))
    server.always = None
    before = [(request.path, request.first) for request in server.requests[:good]]
    asked = len(server.requests)
    fetch(inner(SIXTY))
    again = {(request.path, request.first) for request in server.requests[asked:]}
    assert 0 < len(again) < 4
    assert not set(before) & again


def test_a_damaged_cache_is_fetched_again(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    fetch(inner(CORNER))
    truth, asked = heights_of(tmp_path / "out.tif"), len(server.requests)
    for path in pieces(tmp_path / "cache" / "fetched"):
        path.write_bytes(path.read_bytes()[:-7])
    fetch(inner(CORNER), overwrite=True)
    assert np.array_equal(heights_of(tmp_path / "out.tif"), truth)
    assert len(server.requests) == 2 * asked


def test_the_cache_stays_within_its_size(fetch: Fetch, tmp_path: Path) -> None:
    for box in (CORNER, SIXTY):
        fetch(inner(box), cache_size=2e-4, overwrite=True)
        assert size(tmp_path / "cache" / "fetched") <= 200_000
    fetch(inner(SIXTY), cache_size=0.0, overwrite=True)


def test_processes_share_one_cache(server: Server, tmp_path: Path) -> None:
    """Three at once ask for each byte once, and get the same."""
    command = [sys.executable, "-m", "jspsr_cli", "fetch-copernicus", *map(str, inner(CORNER)), "--buffer", "0", "-q"]
    running = [
        subprocess.Popen([*command, "-o", str(tmp_path / f"{i}.tif")], stderr=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    asked = [(request.path, request.first) for request in server.requests]
    assert len(asked) == len(set(asked)) == 8
    outputs = [(tmp_path / f"{i}.tif").read_bytes() for i in range(3)]
    assert outputs[0] == outputs[1] == outputs[2]
