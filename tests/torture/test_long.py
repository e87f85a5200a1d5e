"""A loop for an hour (JSPSR_TORTURE_SECONDS) over jobs of changing sizes: nothing grows from one to the next."""

import gc
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from jspsr_cli.fetch.copernicus import fetch_copernicus
from jspsr_cli.fetch.request import FetchOptions
from tests.fetch.archive import Server
from tests.interrupted import OPTIONS, Lifted
from tests.test_output import Job, dem_at, guide_at
from tests.torture.moments import dice
from tests.torture.test_ended import CORNER, server

__all__ = ["server"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads from /proc")]

SECONDS = float(os.environ.get("JSPSR_TORTURE_SECONDS", "3600"))

#: Megabytes by which the last third of the loop may lie above the middle one: the heap comes to rest.
GROWTH = 12


class Held(NamedTuple):
    """What the process holds between two jobs."""

    megabytes: float
    descriptors: int
    threads: int
    files: int

    @classmethod
    def now(cls, temporary: Path) -> "Held":
        gc.collect()
        status = Path("/proc/self/status").read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
        files = sum(1 for _ in temporary.rglob("*"))
        return cls(resident / 1024, len(os.listdir("/proc/self/fd")), threading.active_count(), files)


def work(folder: Path, random: Random, url: str) -> None:
    """A job of any size; now and then one that is broken off, and taken up again."""
    rows, cols = random.randint(20, 60), random.randint(20, 60)
    job = Job(
        dem_at(folder / "dem.tif", rows=rows, cols=cols),
        guide_at(folder / "guide.tif", rows=4 * rows, cols=4 * cols),
        folder / "out.tif",
        replace(OPTIONS, window=random.choice([64, 96, 128]), batch_size=random.randint(1, 16)),
    )
    if random.random() < 0.3:
        with suppress(RuntimeError):
            job.run(Lifted(random.randint(0, 5)))
    job.run(Lifted())
    west, south = CORNER[0] + random.uniform(0, 0.04), CORNER[1] + random.uniform(0, 0.04)
    box = (west, south, west + random.uniform(0.01, 0.05), south + random.uniform(0.01, 0.05))
    options = FetchOptions(source=url, buffer=0.0, cache_size=random.choice([0, 0.0001, 0.001]))
    fetch_copernicus(folder / "cop30.tif", bounds=box, options=options)


def test_nothing_grows(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, random = tmp_path / "temporary", dice("long")
    temporary.mkdir()
    for name in ("TMPDIR", "CPL_TMPDIR"):
        monkeypatch.setenv(name, str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    server.always = None
    held: list[Held] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or len(held) < 30:
        folder = tmp_path / "job"
        folder.mkdir()
        work(folder, random, server.url)
        assert {path.name for path in folder.iterdir()} == {"dem.tif", "guide.tif", "out.tif", "cop30.tif"}
        shutil.rmtree(folder)
        server.requests.clear()
        held.append(Held.now(temporary))
        if len(held) % 20 == 0:
            print(len(held), held[-1])
    third = len(held) // 3
    middle, last = held[third : 2 * third], held[2 * third :]
    memory = [statistics.median(h.megabytes for h in part) for part in (middle, last)]
    print(
        f"{len(held)} jobs in {SECONDS:.0f} s: {memory[0]:.1f} MB in the middle third, {memory[1]:.1f} MB in the last"
    )
    assert memory[1] - memory[0] < GROWTH
    assert max(h.descriptors for h in last) <= max(h.descriptors for h in middle)
    assert max(h.threads for h in last) <= max(h.threads for h in middle)
    assert {h.files for h in held} == {0}
