"""Processes that are killed, interrupted and terminated at random moments: nothing is lost, nothing is left about."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fetch.archive import BUCKETS, Handler, Server, save_tile, serving
from tests.fetch.test_copernicus import inner
from tests.test_enhance_command import Scene
from tests.test_processes import heeds_signals
from tests.torture.conftest import STRIPS
from tests.torture.forked import Ended, Forks
from tests.torture.moments import MOMENTS, dice, sending

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

#: Exit codes, as a shell sees them but for SIGKILL.
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}

#: Seconds between the parts of an answer, which would come at once.
PAUSE = 0.05

#: Where four tiles meet; of each a header and a block are needed.
PIECES = 8
CORNER = (6.95, 44.95, 7.05, 45.05)


def finished_rows(output: Path) -> tuple[int, int]:
    """Strips and rows that the unfinished work for `output` counts as finished."""
    state = output.with_name(f"{output.name}.partial") / "state.npz"
    if not state.exists():
        return 0, 0
    with np.load(state) as found:
        return int(found["strips"]), int(found["rows"])


def check_ended(ended: Ended, number: signal.Signals) -> None:
    """The exit code is that of the signal, and one line says so."""
    assert ended.code == CODES[number], ended.err
    if number != signal.SIGKILL:
        said = (
            r"jspsr: (interrupted|terminated)(\. What is finished is kept in .*: the same command goes on with it\.)?"
        )
        assert re.fullmatch(said, ended.err.strip()), ended.err
    assert ended.out == ""


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_enhance(long: Scene, forks: Forks, number: signal.Signals) -> None:
    random, arguments = dice(f"enhance {number.name}"), long.arguments(*STRIPS)
    before = set(long.listing())
    whole = forks.run(arguments)
    assert whole.code == 0, whole.err
    content, height = long.output.read_bytes(), whole.result["height"]
    long.output.unlink()
    hits: Counter[int] = Counter()
    while hits.total() < MOMENTS:
        strips, rows = finished_rows(long.output)
        ended = forks.run(arguments, meanwhile=sending(number, after=random.uniform(0, whole.seconds)))
        if ended.code:
            check_ended(ended, number)
            hits[finished_rows(long.output)[0]] += 1
        # Nothing that was finished is lost, whatever has happened since.
        if not long.output.exists():
            assert finished_rows(long.output) >= (strips, rows)
            assert set(long.listing()) - before <= {
                name for name in long.listing() if name.startswith("out.tif.partial")
            }
            continue
        assert long.output.read_bytes() == content
        if not ended.code:  # else the moment was after the output had its name
            done = ended.result
            assert done["resumed_at"] == rows / height
            same = ("windows", "pixels_known", "pixels_written", "pixels_without_guide")
            assert [done[name] for name in same] == [whole.result[name] for name in same]
        else:
            assert forks.run(arguments).result["already_done"]
        assert set(long.listing()) - before == {"out.tif"}
        long.output.unlink()
    assert len(hits) > min(5, MOMENTS // 4), hits  # moments of all kinds


def run_anew(arguments: list[str], number: int, *, after: float | None = None) -> Ended:
    """Run in a process that is not forked; the signal comes `after` seconds from when signals are heeded."""
    command = [sys.executable, "-m", "jspsr_cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not heeds_signals(process.pid):
            time.sleep(0.001)
        begun = time.monotonic()
        if after is not None:
            time.sleep(after)
            process.send_signal(number)
        out, err = process.communicate(timeout=300)
        return Ended(process.returncode, out, err, time.monotonic() - begun, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_from_the_first_moment(long: Scene, number: signal.Signals) -> None:
    """Most of the time libraries are imported; until that is over nothing is begun, and nothing said."""
    random, arguments = dice(f"first moment {number.name}"), long.arguments(*STRIPS)
    before = set(long.listing())
    whole = run_anew(arguments, number)
    assert whole.code == 0, whole.err
    content = long.output.read_bytes()
    silent = 0
    for _ in range(MOMENTS):
        if long.output.exists():
            assert long.output.read_bytes() == content
            long.output.unlink()
        ended = run_anew(arguments, number, after=random.uniform(0, whole.seconds))
        if ended.code and ended.err:
            check_ended(ended, number)
        assert ended.code == 0 or (ended.code, ended.out) == (CODES[number], ""), ended.err
        assert {Path(name).parts[0] for name in set(long.listing()) - before} <= {"out.tif", "out.tif.partial"}
        silent += not ended.err
    assert silent
    assert run_anew(arguments, number).code == 0
    assert long.output.read_bytes() == content


def slowly(handler: Handler, content: bytes, first: int) -> None:
    """A good answer, in parts that take their time."""
    handler.send_range(content, first, handler.asked[1], body=b"")
    body = content[first : handler.asked[1] + 1]
    step = max(1, len(body) // 8)
    for begin in range(0, len(body), step):
        time.sleep(PAUSE)
        handler.wfile.write(body[begin : begin + step])
        handler.wfile.flush()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for south in (44, 45):
        for west in (6, 7):
            save_tile(tmp_path / "archive" / BUCKETS[30], south, west, [CORNER])
    with serving(tmp_path / "archive") as server:
        server.always = slowly
        yield server


def kept_pieces(cache: Path) -> set[tuple[str, int]]:
    """Tile and first byte of all pieces in the cache."""
    found = set()
    for path in (cache / "fetched" / "pieces").rglob("*"):
        if path.is_file() and path.suffix != ".part":
            tile = path.parent.name if path.name == "header" else path.parent.parent.name
            found.add((tile, 0 if path.name == "header" else int(path.name)))
    return found


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_fetch_copernicus(server: Server, forks: Forks, tmp_path: Path, number: signal.Signals) -> None:
    random = dice(f"fetch-copernicus {number.name}")
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.tif"
    box = [str(value) for value in inner(CORNER)]
    arguments = ["fetch-copernicus", *box, "--buffer", "0", "--json", "-o", str(output)]

    def environment(cache: Path) -> dict[str, str]:
        return {"JSPSR_COPERNICUS_URL": server.url, "JSPSR_CACHE": str(cache), "no_proxy": "*"}

    whole = forks.run(arguments, environment=environment(tmp_path / "first"))
    assert whole.code == 0, whole.err
    assert len(kept_pieces(tmp_path / "first")) == PIECES
    content = output.read_bytes()
    output.unlink()
    hits: Counter[int] = Counter()
    chain = 0
    while hits.total() < MOMENTS:
        cache = tmp_path / f"cache{chain}"
        kept, asked = kept_pieces(cache), len(server.requests)
        moment = sending(number, after=random.uniform(0, whole.seconds))
        ended = forks.run(arguments, environment=environment(cache), meanwhile=moment)
        again = {(Path(request.path).parent.name, request.first) for request in server.requests[asked:]}
        assert not kept & again, "what lay in the cache was fetched once more"
        if ended.code:
            check_ended(ended, number)
            hits[len(kept_pieces(cache))] += 1
        there = {path.name for path in folder.iterdir()}
        if not output.exists():
            # Where it could clear away it has; what a killed process left is for the next one.
            assert there <= ({"out.tif.partial"} if number == signal.SIGKILL else set())
            continue
        assert output.read_bytes() == content
        assert forks.run(arguments, environment=environment(cache)).result["already_done"]
        output.unlink()
        chain += 1
    assert any(0 < pieces < PIECES for pieces in hits), hits  # moments in the midst of it
