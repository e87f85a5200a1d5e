"""Disks that fill and folders that become read-only at random moments: a sentence, and nothing is lost."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.fetch.archive import Server
from tests.fetch.test_copernicus import inner
from tests.test_enhance_command import Scene
from tests.torture.conftest import STRIPS
from tests.torture.disks import Disk, small_disk
from tests.torture.forked import Ended, Forks
from tests.torture.moments import MOMENTS, dice
from tests.torture.test_ended import CORNER, server

__all__ = ["server"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mounts")]

ROUNDS = max(2, MOMENTS // 3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=16) as disk:
        yield disk


@pytest.fixture
def forks(disk: Disk, tmp_path: Path) -> Iterator[Forks]:
    """Commands that see the disk."""
    with Forks(tmp_path, within=disk.within) as forks:
        yield forks


def failing(
    run: Callable[[Callable[[int], None]], Ended], trouble: AbstractContextManager[None], after: float
) -> Ended:
    """How a run ends into which `trouble` comes `after` seconds, to stay until it has ended."""
    with ExitStack() as stack:

        def meanwhile(_pid: int) -> None:
            time.sleep(after)
            stack.enter_context(trouble)

        return run(meanwhile)


def check_failed(ended: Ended) -> None:
    """A sentence says what is wrong with the disk, and nothing else is said but by GDAL's libtiff itself."""
    assert ended.code in (1, 2), (ended.code, ended.err)
    *before, last = ended.err.splitlines()
    assert all(line.startswith("_tiff") for line in before), ended.err
    assert any(why in last for why in ("No space left", "disk is full", "MB free", "ead-only")), ended.err
    assert "bug" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_enhance(long: Scene, disk: Disk, forks: Forks, kind: str) -> None:
    random = dice(f"enhance {kind}")
    arguments = long.arguments(*STRIPS, output=disk.folder / "out.tif")
    output = disk.seen / "out.tif"
    whole = forks.run(arguments)
    assert whole.code == 0, whole.err
    content = output.read_bytes()
    output.unlink()
    codes: Counter[int] = Counter()
    while codes[1] + codes[2] < ROUNDS:
        # Room for part of the rows, or of the file that is made of them.
        spare = int(random.uniform(0, 1.5) * len(content))
        trouble = disk.filled(spare=spare) if kind == "full" else disk.read_only()
        after = random.uniform(0, whole.seconds)
        ended = failing(lambda meanwhile: forks.run(arguments, meanwhile=meanwhile), trouble, after)
        codes[ended.code] += 1
        if ended.code:
            check_failed(ended)
            assert not output.exists()
            assert disk.listing() <= {"out.tif.partial", *map("out.tif.partial/{}".format, PARTS)}
            resumed = forks.run(arguments)
            assert resumed.code == 0, resumed.err
        assert output.read_bytes() == content
        assert disk.listing() == {"out.tif"}
        output.unlink()
    assert codes[1]


#: Files of unfinished work; what was half written when the disk was full is replaced, and goes with the others.
PARTS = ("jspsr.lock", "holder.json", "holder.json.tmp", "journal.json", "heights.f32", "heights.vrt", "state.npz",
         "state.tmp")  # fmt: skip


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_fetch_copernicus(server: Server, disk: Disk, forks: Forks, kind: str) -> None:
    """The cache lies on that disk too."""
    random = dice(f"fetch-copernicus {kind}")
    output = disk.seen / "out.tif"
    box = [str(value) for value in inner(CORNER)]
    arguments = ["fetch-copernicus", *box, "--buffer", "0", "-q", "-o", str(disk.folder / "out.tif")]
    environment = {"JSPSR_COPERNICUS_URL": server.url, "JSPSR_CACHE": str(disk.folder / "cache"), "no_proxy": "*"}

    def run(meanwhile: Callable[[int], None] = lambda _pid: None) -> Ended:
        return forks.run(arguments, environment=environment, meanwhile=meanwhile)

    whole = run()
    assert whole.code == 0, whole.err
    content = output.read_bytes()
    codes: Counter[int] = Counter()
    while codes[1] + codes[2] < ROUNDS:
        output.unlink()
        shutil.rmtree(disk.seen / "cache")
        spare = int(random.uniform(0, 1.5) * len(content))
        trouble = disk.filled(spare=spare) if kind == "full" else disk.read_only()
        ended = failing(run, trouble, random.uniform(0, whole.seconds))
        codes[ended.code] += 1
        if ended.code:
            check_failed(ended)
            assert not output.exists()
            resumed = run()
            assert resumed.code == 0, resumed.err
        assert output.read_bytes() == content
        assert {path.name for path in disk.seen.iterdir()} == {"out.tif", "cache"}
