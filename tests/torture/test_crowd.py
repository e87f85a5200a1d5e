"""Many processes at once: nobody waits for ever, and everybody gets what one alone gets."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fetch.archive import Server
from tests.fetch.test_copernicus import inner
from tests.test_enhance_command import Scene
from tests.torture.conftest import STRIPS
from tests.torture.test_ended import CORNER, PIECES, server

__all__ = ["server"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads from /proc")]

FETCHES, RUNS = 64, 8

#: Minutes are for machines with one core; a deadlock lasts for ever.
PATIENCE = 1200

#: A process whose data may grow by so many megabytes once everything is imported.
STARVED = """
import re, resource, sys
import jspsr_cli.commands.enhance, jspsr_cli.pipeline
from jspsr_cli.main import main
held = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
most = held + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
main()
"""


def at_once(commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Exit codes and stderrs of processes that run side by side."""
    running = [
        subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=PATIENCE)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, text) for process, text in zip(running, said, strict=True)]


@pytest.mark.parametrize("gigabytes", ["2", "0.0002"])
def test_fetches_on_one_cache(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: str) -> None:
    """Each byte is asked for once; and where the cache holds less than is needed, all take from each other's."""
    monkeypatch.setenv("JSPSR_COPERNICUS_URL", server.url)
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    box = [str(value) for value in inner(CORNER)]
    command = ["-m", "jspsr_cli", "fetch-copernicus", *box, "--buffer", "0", "-q", "--cache-size", gigabytes]
    outputs = [tmp_path / f"{number}.tif" for number in range(FETCHES)]
    done = at_once([[*command, "-o", str(output)] for output in outputs])
    assert done == [(0, "")] * FETCHES
    assert len({output.read_bytes() for output in outputs}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "cache", *(path.name for path in outputs)}
    asked = [(request.path, request.first) for request in server.requests]
    kept = [path for path in (tmp_path / "cache" / "fetched" / "pieces").rglob("*") if path.is_file()]
    if gigabytes == "2":
        assert len(asked) == len(set(asked)) == PIECES == len(kept)
    else:
        assert sum(path.stat().st_size for path in kept) <= 200_000
        assert not [path for path in kept if path.suffix == ".part"]


def test_runs_of_enhance_with_little_memory(long: Scene) -> None:
    """Half of them get too little: they say so, and what they have finished they keep."""
    megabytes = [180, 25] * (RUNS // 2)
    outputs = [long.folder / f"{number}.tif" for number in range(RUNS)]
    commands = [long.arguments(*STRIPS, output=output) for output in outputs]
    done = at_once([["-c", STARVED, str(most), *command] for most, command in zip(megabytes, commands, strict=True)])
    assert [code for code, _ in done] == [0, 1] * (RUNS // 2), done
    for _, said in done[1::2]:
        assert "the memory of this machine does not suffice" in said.splitlines()[-1]
        assert "bug" not in said
    assert [output.exists() for output in outputs] == [True, False] * (RUNS // 2)
    again = at_once([["-m", "jspsr_cli", *command] for command in commands])
    assert [code for code, _ in again] == [0] * RUNS, again
    assert len({output.read_bytes() for output in outputs}) == 1
    assert not list(long.folder.glob("*.partial"))
    # All at once to one file: one makes it, and the others are told so or find it made.
    output = long.folder / "one.tif"
    command = long.arguments(*STRIPS, output=output)
    for code, said in at_once([["-m", "jspsr_cli", *command]] * RUNS):
        assert code in (0, 2), said
        assert code == 0 or "is working on" in said
    assert output.read_bytes() == outputs[0].read_bytes()
    assert not list(long.folder.glob("*.partial"))
