"""Unfinished work that is damaged, of another command, or held by another process."""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from filelock import FileLock

from jspsr_cli.errors import JspsrError, OtherWork, OutputExists, OutputNotWritable
from jspsr_cli.raster import water
from jspsr_cli.request import EnhanceOptions
from tests.interrupted import OPTIONS, Lifted, break_off, folder_of, listing, made_at_once
from tests.test_output import Job, old_job
from tests.test_output_once import CHANGES, never


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return replace(old_job(tmp_path), options=OPTIONS)


@pytest.fixture
def whole(job: Job) -> tuple[bytes, int]:
    return made_at_once(job)


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


def other_shape(folder: Path) -> None:
    np.savez(folder / "state.npz", strips=3, rows=1, counted="{}", carry=np.zeros((3, 3)))


def rows_elsewhere(folder: Path) -> None:
    (folder / "heights.f32").rename(folder.parent / "theirs")
    (folder / "heights.f32").symlink_to(folder.parent / "theirs")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "rows cut": cut_rows,
    "rows gone": lambda folder: (folder / "heights.f32").unlink(),
    "state empty": rewritten("state.npz", b""),
    "state of something else": rewritten("state.npz", b"PK\x03\x04 no"),
    "state that would run code": pickled_state,
    "state of another shape": other_shape,
    "rows in another file": rows_elsewhere,
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
    theirs = job.output.with_name("theirs")
    assert not theirs.exists() or theirs.stat().st_size


@pytest.mark.parametrize("restart", [False, True])
def test_files_of_others_are_not_removed(job: Job, whole: tuple[bytes, int], restart: bool) -> None:
    break_off(job)
    (folder_of(job) / "thesis.txt").write_text("precious")
    (folder_of(job) / "sub").mkdir()
    replace(job, options=replace(OPTIONS, restart=restart)).run(Lifted())
    assert job.output.read_bytes() == whole[0]
    assert {path.name for path in folder_of(job).iterdir()} == {"thesis.txt", "sub", "jspsr.lock"}


def test_what_is_in_the_way_is_named_and_nothing_is_lost(job: Job) -> None:
    break_off(job)
    (folder_of(job) / "finished.tif").mkdir()
    before = {path.name for path in folder_of(job).iterdir()}
    with pytest.raises(OutputNotWritable, match=r"finished\.tif cannot be written: Is a directory"):
        replace(job, options=replace(OPTIONS, restart=True)).run(never)
    assert {path.name for path in folder_of(job).iterdir()} == before
    (folder_of(job) / "finished.tif").rmdir()
    assert job.run(Lifted()).resumed_at > 0


@pytest.mark.parametrize("target", ["elsewhere", "nowhere", None])
def test_a_link_or_a_file_in_place_of_the_folder_is_refused(job: Job, tmp_path: Path, target: str | None) -> None:
    (tmp_path / "elsewhere").mkdir()
    if target:
        folder_of(job).symlink_to(tmp_path / target)
    else:
        folder_of(job).write_text("mine")
    with pytest.raises(OutputExists, match="is no folder: move it away"):
        job.run(never)
    assert folder_of(job).is_symlink() or folder_of(job).read_text() == "mine"


# Another command


WHAT_DIFFERS = {
    "newer DEM": "dem.tif, was .* bytes of 2023",
    "newer guide": "guide.tif, was .* bytes of 2023",
    "another DEM": "FINGERPRINT_DEM was",
    "resolution": "--resolution was 8.0 and is 16.0",
    "bounds": "the grid was 96 x 120 pixels .* and is 50 x 50",
    "CRS": "the grid was .* EPSG:32632 and is .* EPSG:32631",
    "window": "--window was 32 and is 128",
    "overlap": "--overlap was 16 pixels and is",
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
    assert listing(job) == before


@pytest.mark.parametrize("options", [replace(OPTIONS, batch_size=1), replace(OPTIONS, device="cpu")], ids=str)
def test_how_it_runs_may_change(job: Job, options: EnhanceOptions) -> None:
    """Whoever ran out of memory is told to take smaller batches, and must not lose what is finished for it."""
    break_off(job)
    report = replace(job, options=options).run(Lifted())
    assert report.resumed_at > 0
    said = [warning for warning in report.warnings if "heights differ by rounding" in warning]
    assert len(said) == (options.batch_size == 1)


def test_the_clock_of_another_place_is_no_difference(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    break_off(job)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert job.run(Lifted()).resumed_at > 0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_share_that_is_away_loses_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    break_off(job)
    before = listing(job)
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", away)
        with pytest.raises(OutputNotWritable, match="Input/output error"):
            job.run(never)
    assert listing(job) == before
    assert job.run(Lifted()).resumed_at > 0


@pytest.mark.parametrize("left", [(), ("jspsr.lock",), ("jspsr.lock", "heights.f32")], ids=str)
def test_what_a_process_left_that_was_killed_at_its_ends(job: Job, left: tuple[str, ...]) -> None:
    """Before it had the lock, or while it cleared away, where the lock goes last."""
    folder_of(job).mkdir()
    for name in left:
        (folder_of(job) / name).write_bytes(b"half")
    job.run(Lifted())
    assert not folder_of(job).exists()


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
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OutputNotWritable, match="has no locks"):
        job.run(never)
    assert not folder_of(job).exists()


def test_the_journal_can_be_read_by_people(job: Job) -> None:
    break_off(job)
    journal = json.loads((folder_of(job) / "journal.json").read_text())
    assert journal["decides"]["--window"] == "32"
    assert journal["machine"]["device"] == "cpu"
