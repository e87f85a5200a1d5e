"""Streams that are closed from the start, or that nobody reads."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.test_enhance_command import Scene
from tests.torture.conftest import STRIPS
from tests.torture.forked import Forks

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")]

Process: TypeAlias = "subprocess.Popen[bytes]"

CLOSED = ("<&-", ">&-", "<&- >&- 2>&-")


def started(scene: Scene, streams: str = "", *, out: int | None = None, err: int | None = None) -> Process:
    """The command, by a shell that does with the `streams` what is said."""
    command = [sys.executable, "-m", "jspsr_cli", *scene.arguments(*STRIPS)]
    return subprocess.Popen(["sh", "-c", f'exec "$@" {streams}', "sh", *command], stdout=out, stderr=err)


@pytest.fixture
def content(long: Scene, forks: Forks) -> bytes:
    assert forks.run(long.arguments(*STRIPS)).code == 0
    made = long.output.read_bytes()
    long.output.unlink()
    return made


@pytest.mark.parametrize("streams", CLOSED)
def test_streams_that_are_closed(long: Scene, content: bytes, streams: str) -> None:
    """No file of the work gets the number of a stream: what a library says there would be written into it."""
    work = long.folder / "out.tif.partial"
    seen: set[str] = set()
    with started(long, streams) as running:
        deadline = time.monotonic() + 120
        while running.poll() is None and time.monotonic() < deadline:
            if (work / "state.npz").exists():
                for number in (0, 1, 2):
                    descriptor = Path(f"/proc/{running.pid}/fd/{number}")
                    if descriptor.exists():
                        seen.add(os.path.realpath(descriptor))
            time.sleep(0.02)
        assert running.wait(1) == 0
    assert seen
    assert not [path for path in seen if path.startswith(str(long.folder))]
    assert long.output.read_bytes() == content
    assert not work.exists()


@pytest.mark.parametrize("stream", ["out", "err"])
def test_a_pipe_that_nobody_reads(long: Scene, content: bytes, stream: str) -> None:
    """The file is complete when the result cannot be told any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with started(long, out=writer) if stream == "out" else started(long, err=writer) as running:
        os.close(writer)
        assert running.wait(120) == (141 if stream == "out" else 0)
    assert long.output.read_bytes() == content
    assert not (long.folder / "out.tif.partial").exists()
