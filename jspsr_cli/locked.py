"""One process at a time in a folder. The system lets go of the lock of a process that is killed."""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from jspsr_cli.errors import JspsrError, OutputExists, OutputNotWritable

# The file that is locked.
LOCK = "jspsr.lock"

# What file systems without locks answer: network shares whose lock service is off, some of FUSE's.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def lock_on(path: Path) -> FileLock:
    """The system's lock on a file; acquiring raises OSError where there is none: a file outlives a killed process."""
    return FileLock(path, fallback_to_soft=False)


def take_lock(folder: Path, *, busy: Callable[[], JspsrError]) -> FileLock:
    """Lock `folder`, which exists, and return the lock, to be released. On failure an empty folder is removed.

    Raises:
        JspsrError: what `busy` returns, where another process has the lock.
        OutputNotWritable: the folder cannot be written to, or its file system has no locks.
    """
    lock = lock_on(folder / LOCK)
    ours = False
    try:
        ours = not (folder / LOCK).exists()
        lock.acquire(blocking=False)
    except Timeout as error:
        raise busy() from error
    except OSError as error:
        with suppress(OSError):
            if ours:
                (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        if error.errno in NO_LOCKS:
            raise OutputNotWritable(f"The file system of {folder} has no locks: write to another.") from error
        raise not_writable(folder, error) from error
    return lock


@contextmanager
def locked(folder: Path, *, busy: Callable[[], JspsrError]) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing, while the block runs; one that then holds nothing is removed.

    So are folders above it that were made for it. What the block raises leaves as it is. Raises as `take_lock`.
    """
    try:
        made = [parent for parent in folder.parents if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
    lock = take_lock(folder, busy=busy)
    try:
        yield
    finally:
        remove_if_empty(folder)
        with suppress(OSError):  # something is in it
            for parent in made:
                parent.rmdir()
        with suppress(OSError):  # of a share that is away
            lock.release()


def check_ours(folder: Path, ours: Iterable[str], *, work: str) -> None:
    """Let nothing be in `folder`, if it exists, but hidden files, the lock, and what `work` writes: the names `ours`.

    Raises:
        OutputExists: something else is there.
        OutputNotWritable: the folder cannot be looked into.
    """
    try:
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise not_writable(folder, error) from error
    strange = [name for name in names if name not in (*ours, LOCK) and name[0] != "."]
    if strange:
        raise OutputExists(f"{folder} holds {strange[0]}, which no {work} wrote: give another --output.")


def check_known(folder: Path, *, purpose: str) -> None:
    """Let `folder`, which is needed for `purpose`, be missing, ours or empty.

    One that is empty is nobody's: a process was killed before it had the lock.

    Raises:
        OutputExists: it is none of these.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputExists(f"{folder} is needed for {purpose} and is no folder: move it away.")
    if folder.exists() and not (folder / LOCK).exists() and any(folder.iterdir()):
        raise OutputExists(f"{folder} is needed for {purpose} and is not ours: move it away.")


def remove_if_empty(folder: Path) -> None:
    """Remove `folder` if nothing is in it but the lock: what others put there is not ours to remove."""
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def not_writable(path: Path, error: OSError) -> OutputNotWritable:
    """What to raise where `error` says that nothing can be written to `path`."""
    return OutputNotWritable(f"{error.filename or path} cannot be written: {error.strerror or error}.")
