"""Inputs that are written to, or vanish, while `enhance` works on them, and clocks that jump meanwhile."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jspsr_cli.errors import InputChanged, OtherWork, OutputExists
from jspsr_cli.fetch.cache import Cache
from tests.interrupted import OPTIONS, Lifted, folder_of, made_at_once
from tests.test_output import LONG_AGO, Job, dem_at, old_job
from tests.test_output_once import never

DAY = 86_400


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return replace(old_job(tmp_path), options=OPTIONS)


class Meanwhile(Lifted):
    """A network during whose call number `at` something happens."""

    def __init__(self, happens: Callable[[], object], at: int = 25) -> None:
        super().__init__()
        self._happens, self._at = happens, at

    def __call__(self, dem: torch.Tensor, **guides: Any) -> torch.Tensor:
        if self.calls == self._at:
            self._happens()
        return super().__call__(dem, **guides)


def rewritten(path: Path) -> None:
    """Other heights in the same file, which stays open where it is read."""
    with path.open("r+b") as file:
        file.write(dem_at(path.parent / "other" / path.name, lift=500).read_bytes())


def replaced(path: Path) -> None:
    """Another file of that name; the one that is open is read on."""
    os.replace(dem_at(path.parent / "other" / path.name, lift=500), path)


@pytest.mark.parametrize("change", [rewritten, replaced, os.utime])
def test_an_input_that_changes_is_told_and_nothing_is_mixed(job: Job, change: Callable[[Path], object]) -> None:
    content, _ = made_at_once(job)
    kept = job.dem.read_bytes()
    with pytest.raises(InputChanged, match=r"file 1, dem\.tif, was \d+ bytes of 2023.* and is .*put back.*--restart"):
        job.run(Meanwhile(lambda: change(job.dem)))
    assert not job.output.exists()
    with pytest.raises(OtherWork, match=r"dem\.tif, was"):
        job.run(never)
    job.dem.write_bytes(kept)
    os.utime(job.dem, (LONG_AGO, LONG_AGO))
    report = job.run(Lifted())
    assert report.resumed_at > 0
    assert job.output.read_bytes() == content


def test_an_input_that_changes_in_the_first_strip(job: Job) -> None:
    """Nothing is finished, so that the same command begins anew with what is there now."""
    with pytest.raises(InputChanged):
        job.run(Meanwhile(lambda: replaced(job.dem), at=1))
    assert not folder_of(job).exists()
    assert job.run(Lifted()).resumed_at == 0


def test_an_input_that_vanishes_but_is_still_open_was_read(job: Job) -> None:
    content, _ = made_at_once(job)
    job.run(Meanwhile(job.guide.unlink))
    assert job.output.read_bytes() == content
    assert not folder_of(job).exists()


# Clocks


def set_to(path: Path, ahead: float) -> None:
    os.utime(path, (time.time() + ahead,) * 2)


@pytest.mark.parametrize("late", ["dem", "guide"])
def test_inputs_from_the_future_are_worked_on_once(job: Job, late: str) -> None:
    """They come from a machine whose clock is ahead, or this one's was set back since."""
    set_to(getattr(job, late), DAY)
    job.run(Lifted())
    assert job.run(never).already_done
    set_to(getattr(job, late), 2 * DAY)
    with pytest.raises(OutputExists, match="--overwrite"):
        job.run(never)


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_while_it_works(job: Job, monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    content, batches = made_at_once(job)
    clock = time.time
    with pytest.raises(RuntimeError):
        job.run(Lifted(batches - 2))
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    for path in folder_of(job).iterdir():
        set_to(path, jump)
    assert job.run(Lifted()).resumed_at > 0.3
    assert job.output.read_bytes() == content
    set_to(job.output, jump)
    assert job.run(never).already_done


@pytest.mark.parametrize("jump", [-DAY, 0, DAY])
def test_what_is_fetched_now_is_kept_whatever_the_clock_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    cache = Cache(tmp_path, limit=10_000)
    for i in range(4):
        cache.put(f"a/{i}", bytes(2000))
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    for i in range(4, 8):
        cache.put(f"a/{i}", bytes(2000))
        set_to(tmp_path / "pieces" / "a" / str(i), i)
        cache.trim()
    assert all(cache.get(f"a/{i}") for i in range(4, 8))
    assert sum(path.stat().st_size for path in (tmp_path / "pieces").rglob("*") if path.is_file()) <= 10_000


def test_parts_from_the_future_are_those_of_killed_processes_too(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=10_000)
    for name, ahead in (("ahead", DAY), ("skewed", 60)):
        part = tmp_path / "pieces" / f".{name}.part"
        part.touch()
        set_to(part, ahead)
    cache.trim()
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == [".skewed.part"]
