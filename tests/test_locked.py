import errno
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from jspsr_cli.errors import OtherWork, OutputNotWritable
from jspsr_cli.fetch.cache import Cache
from jspsr_cli.locked import LOCK, locked, take_lock


def busy() -> OtherWork:
    return OtherWork("busy")


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", busy=busy):
        with pytest.raises(OtherWork), locked(tmp_path / "a" / "b", busy=busy):
            pass
        assert (tmp_path / "a" / "b" / LOCK).exists()
    with locked(tmp_path / "a" / "b", busy=busy):
        pass


@pytest.mark.parametrize("kept", [True, False])
def test_only_a_folder_that_holds_something_stays(tmp_path: Path, kept: bool) -> None:
    with locked(tmp_path / "run", busy=busy):
        if kept:
            (tmp_path / "run" / "file").touch()
    assert (tmp_path / "run").exists() == kept
    assert (tmp_path / "run" / LOCK).exists() == kept


@pytest.mark.parametrize("others", [True, False])
def test_folders_that_were_made_for_one_that_goes_go_too(tmp_path: Path, others: bool) -> None:
    (tmp_path / "there").mkdir()
    with locked(tmp_path / "there" / "runs" / "mine" / "run", busy=busy):
        if others:
            (tmp_path / "there" / "runs" / "file").touch()
    assert not (tmp_path / "there" / "runs" / "mine").exists()
    assert (tmp_path / "there" / "runs").exists() == others
    assert (tmp_path / "there").exists()


def test_what_the_block_raises_leaves_as_it_is(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "no")
    with pytest.raises(PermissionError) as caught, locked(tmp_path, busy=busy):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSYS, "Function not implemented"), "has no locks: write to another"),
        (OSError(errno.ENOLCK, "No locks available"), "has no locks: write to another"),
        (OSError(errno.EOPNOTSUPP, "Operation not supported"), "has no locks: write to another"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written: Read-only file system"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("before", [(), (LOCK,), (LOCK, "file"), ("file",)], ids=str)
def test_a_folder_that_cannot_be_locked_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str, before: tuple[str, ...]
) -> None:
    def acquire(lock: FileLock, **_: object) -> None:
        Path(lock.lock_file).touch()
        raise error

    folder = tmp_path / "folder"
    folder.mkdir()
    for name in before:
        (folder / name).touch()
    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OutputNotWritable, match=sentence):
        take_lock(folder, busy=busy)
    assert folder.exists() == bool(before)
    assert not before or {path.name for path in folder.iterdir()} == set(before)


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_file_does_not_stand_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stay behind a process that is killed."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OutputNotWritable, match="has no locks"):
        take_lock(tmp_path / "folder", busy=busy)
    with pytest.raises(OutputNotWritable, match=r"cache .* Function not implemented: set JSPSR_CACHE"):
        Cache(tmp_path, limit=1)
    assert not (tmp_path / "folder").exists()
