"""Contract 7: no finished strip is lost, and what is finished later is what would have been made at once."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from jspsr_cli.errors import ReadFailed, WriteFailed
from jspsr_cli.pipeline import enhance, layers_of
from jspsr_cli.plan import plan_enhance
from jspsr_cli.raster import writer
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.strips import aligned_strips
from jspsr_cli.request import EnhanceOptions, Inputs
from tests.interrupted import OPTIONS, Lifted, break_off, folder_of, listing, made_at_once
from tests.scenes import Array, identity, terrain, weights_info, write_raster
from tests.test_output import Job, old_job
from tests.test_output_once import never


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return replace(old_job(tmp_path), options=OPTIONS)


@pytest.fixture
def whole(job: Job) -> tuple[bytes, int]:
    return made_at_once(job)


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_the_same_command_goes_on(job: Job, whole: tuple[bytes, int], error: BaseException) -> None:
    content, batches = whole
    break_off(job, batches - 2, error)
    assert not job.output.exists()
    network = Lifted()
    report = job.run(network)
    assert job.output.read_bytes() == content
    assert 0.3 < report.resumed_at < 1
    assert network.calls < batches / 2
    assert not folder_of(job).exists()


def test_strips_are_the_same_to_the_last_bit_wherever_a_run_begins(tmp_path: Path) -> None:
    """Averages are the same to a millionth of a pixel wherever a warp is cut; a deep network makes 1 mm of that."""
    trees = np.random.default_rng(1).integers(0, 40, (300, 300)).astype(np.uint8)
    place = Affine(2.7, 0, 499_400, 0, -2.7, 4_797_200)
    canopy = write_raster(tmp_path / "canopy.tif", trees, crs="EPSG:25830", transform=place)
    x, y = np.meshgrid(np.arange(60) * 30.0, np.arange(60) * 30.0)
    place = Affine(30, 0, 499_000, 0, -30, 4_797_500)
    dem = write_raster(tmp_path / "dem.tif", terrain(x, y).astype(np.float32), crs="EPSG:25830", transform=place)
    weights: Any = (identity, weights_info("canopy"))
    plan = plan_enhance(
        Inputs(dem=(str(dem),), guides={"canopy": (str(canopy),)}),
        output=tmp_path / "out.tif",
        weights=weights,
        options=EnhanceOptions(resolution=3, window=64),
    )

    def strips(skip: int) -> list[Array]:
        with RasterReader() as reader:
            found = aligned_strips(layers_of(plan, reader), plan.target, plan.lattice, skip=skip)
            return [np.concatenate([strip.dem[None], strip.guides["canopy"]]) for strip in found]

    whole = strips(0)
    for skip in range(1, len(whole)):
        for resumed, at_once in zip(strips(skip), whole[skip:], strict=True):
            assert np.array_equal(resumed, at_once, equal_nan=True)


def test_the_options_of_the_caller_hold_where_pixels_are_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and sessions of rasterio belong to a thread, and reading has one of its own."""
    read, seen = RasterReader.read, set()

    def spying(self: RasterReader, *arguments: Any, **options: Any) -> Array:
        found = rasterio.env.getenv()
        seen.add((threading.current_thread().name[:11], found["GDAL_HTTP_HEADERS"], found["GDAL_CACHEMAX"]))
        return read(self, *arguments, **options)

    monkeypatch.setattr(RasterReader, "read", spying)
    with rasterio.Env(GDAL_HTTP_HEADERS="X: 1"):
        job.run(Lifted())
    cache = GDAL_OPTIONS["GDAL_CACHEMAX"]
    assert seen == {("MainThread", "X: 1", cache), ("jspsr-ahead", "X: 1", cache)}


def test_ended_again_and_again(job: Job, whole: tuple[bytes, int]) -> None:
    """Every run ends after one strip more, whatever is carried from one to the next."""
    content, batches = whole
    ended = 0
    for _ in range(batches):
        try:
            job.run(Lifted(11))
            break
        except RuntimeError:
            ended += 1
    assert ended > 3
    assert job.output.read_bytes() == content


def test_the_report_counts_the_whole(job: Job) -> None:
    at_once = job.run(Lifted())
    job.output.unlink()
    break_off(job)
    report = job.run(Lifted())
    varying = dict.fromkeys(("seconds", "pixels_per_second", "resumed_at"))
    assert asdict(report) | varying == asdict(at_once) | varying


def test_progress_begins_where_the_work_was_ended(job: Job) -> None:
    break_off(job)
    seen: list[float] = []
    weights: Any = (Lifted(), weights_info("image"))
    report = enhance(
        job.dem, output=job.output, image=[job.guide], weights=weights, options=OPTIONS, progress=seen.append
    )
    assert seen[0] == report.resumed_at > 0
    assert seen == sorted(seen)
    assert seen[-1] == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from jspsr_cli.request import EnhanceOptions
from tests.test_output import Job
from tests.interrupted import Lifted, OPTIONS

class Killed(Lifted):
    def __call__(self, dem, **guides):
        if self.calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(dem, **guides)

folder = Path(sys.argv[1])
Job(folder / "dem.tif", folder / "guide.tif", folder / "made" / "out.tif", OPTIONS).run(Killed())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_process(job: Job, whole: tuple[bytes, int], tmp_path: Path) -> None:
    content, batches = whole
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(batches - 2)]
    assert subprocess.run(command, env=here, check=False).returncode == -signal.SIGKILL
    assert not job.output.exists()
    report = job.run(Lifted())
    assert report.resumed_at > 0.3
    assert job.output.read_bytes() == content


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let files grow to `size` bytes only: it fails the calls that a full disk fails."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk_loses_nothing(job: Job, whole: tuple[bytes, int]) -> None:
    rows = 96 * 120 * 4
    with largest_file(int(rows * 0.6)), pytest.raises(WriteFailed, match=r"out\.tif cannot be written"):
        job.run(Lifted())
    assert not job.output.exists()
    assert 0.3 < job.run(Lifted()).resumed_at < 1
    assert job.output.read_bytes() == whole[0]


def test_a_disk_that_is_full_at_the_very_end(
    job: Job, whole: tuple[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, target: Path, **_: Any) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "gdal_copy", full)
        with pytest.raises(WriteFailed, match="No space left"):
            job.run(Lifted())
    assert "finished.tif" not in listing(job)
    assert job.run(never).resumed_at == 1
    assert job.output.read_bytes() == whole[0]


def test_an_input_that_is_lost_for_a_while(job: Job, whole: tuple[bytes, int], monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = RasterReader.read, 0

    def lost(self: RasterReader, *arguments: Any, **options: Any) -> Array:
        nonlocal calls
        calls += 1
        if calls > 60:
            raise ReadFailed("the share is gone")
        return read(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RasterReader, "read", lost)
        with pytest.raises(ReadFailed, match="share is gone"):
            job.run(Lifted())
    job.run(Lifted())
    assert job.output.read_bytes() == whole[0]
