"""Contract 7: no finished strip is lost, and what is finished later is what would have been made at once."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from filelock import FileLock

from jspsr_cli.errors import JspsrError, OtherWork, OutputExists, OutputNotWritable, ReadFailed, WriteFailed
from jspsr_cli.pipeline import enhance, layers_of
from jspsr_cli.plan import plan_enhance
from jspsr_cli.raster import water, writer
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.strips import aligned_strips
from jspsr_cli.request import EnhanceOptions, Inputs
from tests.scenes import Array, identity, terrain, weights_info, write_raster
from tests.test_output import Job, old_job
from tests.test_output_once import CHANGES, never

#: Six strips of windows of 32 pixels, each of several batches.
OPTIONS = EnhanceOptions(window=32, overlap=0.5, batch_size=2)


class Lifted:
    """A network that is no identity, whose `limit`-th call fails with `error`."""

    def __init__(self, limit: int | None = None, error: BaseException | None = None) -> None:
        self.calls, self.limit, self.error = 0, limit, error or RuntimeError("no")

    def __call__(self, dem: torch.Tensor, *, image: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        if self.calls == self.limit:
            raise self.error
        self.calls += 1
        return dem + 0.01 * image.mean(dim=1, keepdim=True)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return replace(old_job(tmp_path), options=OPTIONS)


@pytest.fixture
def whole(job: Job) -> tuple[bytes, int]:
    """The output of an uninterrupted run, and its number of batches."""
    network = Lifted()
    job.run(network)
    content = job.output.read_bytes()
    job.output.unlink()
    return content, network.calls


def folder_of(job: Job) -> Path:
    return job.output.with_name("out.tif.partial")


def listing(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder_of(job).iterdir()}


def break_off(job: Job, limit: int = 25, error: BaseException | None = None) -> None:
    """Leave unfinished work."""
    error = error or RuntimeError("no")
    with pytest.raises(type(error)) as raised:
        job.run(Lifted(limit, error))
    assert "the same command goes on" in " ".join(getattr(raised.value, "__notes__", []))
    assert (folder_of(job) / "state.npz").exists()


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
from tests.test_resume import Lifted, OPTIONS

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


# What lies there is not what it should be


def test_rows_beyond_the_state_are_forgotten(job: Job, whole: tuple[bytes, int]) -> None:
    """The process was killed between the rows and the state that counts them."""
    break_off(job)
    with (folder_of(job) / "heights.f32").open("ab") as file:
        file.write(b"half a row")
    job.run(Lifted())
    assert job.output.read_bytes() == whole[0]


def cut_rows(folder: Path) -> None:
    path = folder / "heights.f32"
    path.write_bytes(path.read_bytes()[:-4])


def rewritten(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def pickled_state(folder: Path) -> None:
    np.savez(folder / "state.npz", strips=1, rows=0, counted="{}", carry=np.array([{}], dtype=object))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "rows cut": cut_rows,
    "rows gone": lambda folder: (folder / "heights.f32").unlink(),
    "state empty": rewritten("state.npz", b""),
    "state of something else": rewritten("state.npz", b"PK\x03\x04 no"),
    "state that would run code": pickled_state,
    "journal gone": lambda folder: (folder / "journal.json").unlink(),
    "journal of something else": rewritten("journal.json", b"[1, 2]"),
    "journal cut": rewritten("journal.json", b'{"decides": {"--win'),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_work_is_done_again_and_said(job: Job, whole: tuple[bytes, int], name: str) -> None:
    break_off(job)
    DAMAGES[name](folder_of(job))
    report = job.run(Lifted())
    assert report.resumed_at == 0
    assert any("is damaged" in warning for warning in report.warnings)
    assert job.output.read_bytes() == whole[0]


# Another command


WHAT_DIFFERS = {
    "newer DEM": "dem.tif, was .* bytes of 2023",
    "newer guide": "guide.tif, was .* bytes of 2023",
    "another DEM": "FINGERPRINT_DEM was",
    "resolution": "--resolution was 8.0 and is 16.0",
    "bounds": "the grid was 96 x 120 pixels .* and is 50 x 50",
    "CRS": "the grid was .* EPSG:32632 and is .* EPSG:32631",
    "window": "--window was 32 and is 128",
    "overlap": "--overlap was 16 and is",
    "bands": "--guide-bands was not given and is",
    "stretch": "--stretch was not given and is",
    "gaps": "--guide-gaps was nodata and is dem",
    "water": "--water was keep and is network",
    "precision": "--precision was float32 and is bfloat16",
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_command_is_refused_with_what_differs(job: Job, change: str) -> None:
    break_off(job)
    before = listing(job)
    other = CHANGES[change](job)
    with pytest.raises(OtherWork, match=WHAT_DIFFERS[change]) as refused:
        # the table knows options one at a time
        replace(other, options=replace(other.options, batch_size=2)).run(never)
    assert "--restart" in str(refused.value)
    assert listing(job).keys() == before.keys()
    assert all(listing(job)[name] == content for name, content in before.items() if name != "holder.json")


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (replace(OPTIONS, batch_size=3), "--batch-size was 2 and is 3"),
        (replace(OPTIONS, device="cpu"), "--device was auto and is cpu"),
    ],
)
def test_how_it_runs_is_part_of_the_command(job: Job, options: EnhanceOptions, differs: str) -> None:
    break_off(job)
    with pytest.raises(OtherWork, match=differs):
        replace(job, options=options).run(never)


def test_other_weights_are_refused(job: Job) -> None:
    break_off(job)
    with pytest.raises(OtherWork, match="the network was stand-in"):
        job.run(never, sha256="1" * 64)


def test_restart_begins_anew(job: Job, whole: tuple[bytes, int]) -> None:
    break_off(replace(job, options=replace(OPTIONS, batch_size=1)), 40)
    report = replace(job, options=replace(OPTIONS, restart=True)).run(Lifted())
    assert report.resumed_at == 0
    assert job.output.read_bytes() == whole[0]


def test_other_threads_are_said(job: Job) -> None:
    break_off(job)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        report = job.run(Lifted())
    finally:
        torch.set_num_threads(threads)
    assert any(f"threads {threads}" in w and "rounding" in w for w in report.warnings)


def test_moved_inputs_are_the_same_inputs(job: Job, whole: tuple[bytes, int], tmp_path: Path) -> None:
    break_off(job)
    (tmp_path / "elsewhere").mkdir()
    moved = replace(job, dem=Path(shutil.move(job.dem, tmp_path / "elsewhere")))
    assert moved.run(Lifted()).resumed_at > 0
    assert job.output.read_bytes() == whole[0]


def test_what_was_noted_before_is_still_said(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strange heights at the north end are seen by the first run only."""
    with rasterio.open(job.dem, "r+") as dataset:
        heights = dataset.read(1)
        heights[0, 0] = -20_000
        dataset.write(heights, 1)
    monkeypatch.setattr(water, "QUANTA", ())
    break_off(job)
    report = replace(job).run(Lifted())
    assert report.resumed_at > 0
    assert any("taken as voids" in warning for warning in report.warnings)


def test_the_holder_is_named(job: Job) -> None:
    inside: list[JspsrError] = []

    def network(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        if not inside:
            with pytest.raises(OutputExists) as refused:
                job.run(never)
            inside.append(refused.value)
        return dem

    job.run(network)
    assert f"Process {os.getpid()} on " in str(inside[0])
    assert job.output.exists()


def test_what_was_published_already_is_cleared_away(job: Job) -> None:
    """The process was killed after the output had its name, before the folder was gone."""
    job.run(Lifted())
    kept = job.output.read_bytes()
    job.output.unlink()
    break_off(job)
    job.output.write_bytes(kept)
    assert job.run(never).already_done
    assert not folder_of(job).exists()


def test_unfinished_work_of_another_command_outlives_that(job: Job) -> None:
    job.run(Lifted())
    other = replace(job, options=replace(OPTIONS, water="network", overwrite=True))
    with pytest.raises(RuntimeError):
        other.run(Lifted(25))
    assert job.run(never).already_done
    assert other.run(Lifted()).resumed_at > 0


def test_a_file_system_without_locks_is_said(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OutputNotWritable, match="has no locks"):
        job.run(never)


def test_the_journal_can_be_read_by_people(job: Job) -> None:
    break_off(job)
    journal = json.loads((folder_of(job) / "journal.json").read_text())
    assert journal["decides"]["--window"] == "32"
    assert journal["machine"]["device"] == "cpu"
