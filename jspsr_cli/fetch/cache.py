"""What was fetched, kept in a folder that any number of processes share and that stays below a size."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from jspsr_cli.errors import FetchFailed, OutputNotWritable
from jspsr_cli.locked import lock_on
from jspsr_models.files import appearing
from jspsr_models.registry import CACHE_VARIABLE, weights_dir

# Seconds between two looks whether what a lock is waited for is still wanted.
_PATIENCE = 0.2

# Seconds after which a part is no longer being written: its process was killed. No two clocks of machines that share a
# cache differ by as much: what is younger by more was made before a clock was set back.
_STALE = 3600.0

_DIGEST = hashlib.sha256().digest_size


def fetched_dir() -> Path:
    """Folder of everything that is fetched (it need not exist)."""
    return weights_dir().with_name("fetched")


class Cache:
    """Pieces of bytes by key, a relative path such as `archive/tile/piece`.

    A piece appears whole, with the digest that it is checked by when it is read; what is damaged, or was removed by
    another process, is not there. Those least recently used make room: `trim` takes the folder below `limit` bytes.
    Where that is None nothing is kept, and what is there is left alone.

    Raises:
        OutputNotWritable: the folder cannot be made, or its file system has no locks.
    """

    def __init__(self, folder: Path, *, limit: int | None) -> None:
        self._pieces, self._locks, self._limit = folder / "pieces", folder / "locks", limit
        try:
            for path in (self._pieces, self._locks):
                path.mkdir(parents=True, exist_ok=True)
            with lock_on(self._locks / "test.lock"):
                pass
        except OSError as error:
            why = error.strerror or error
            raise OutputNotWritable(f"The cache {folder} cannot be written: {why}: set {CACHE_VARIABLE}.") from error

    def get(self, key: str) -> bytes | None:
        """The piece, if it is there and whole; none where nothing is to be kept."""
        if not self._limit:
            return None
        path = self._pieces / key
        try:
            held = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # another's, or removed by now
            os.utime(path)
        content = held[_DIGEST:]
        if hashlib.sha256(content).digest() == held[:_DIGEST]:
            return content
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keep the piece; where the disk is full it is not kept."""
        if not self._limit:
            return
        path = self._pieces / key
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with appearing(path) as part:
                part.write_bytes(hashlib.sha256(content).digest() + content)

    def forget(self, key: str) -> None:
        """Remove all pieces whose keys begin with the folder `key`."""
        shutil.rmtree(self._pieces / key, ignore_errors=True)

    @contextmanager
    def locked(self, key: str, *, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Let one process, and one thread of it, at a time work on `key`; raises FetchFailed once `cancelled`."""
        lock = lock_on(self._locks / f"{key.replace('/', '.')}.lock")
        while not lock.is_locked:
            if cancelled():
                raise FetchFailed(f"{key} is no longer wanted.")
            with suppress(Timeout):
                lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            lock.release()

    def trim(self) -> None:
        """Remove what was not used for longest until the rest is within the limit, unless another process does."""
        if self._limit is None:
            return
        with suppress(Timeout), lock_on(self._locks / "trim.lock").acquire(blocking=False):
            kept, size, now = [], 0, time.time()
            for folder, _, names in os.walk(self._pieces):  # which does not mind that others remove folders meanwhile
                for path in (Path(folder, name) for name in names):
                    with suppress(OSError):
                        status = path.stat()
                        if path.suffix == ".part" and abs(now - status.st_mtime) > _STALE:
                            path.unlink()
                            continue
                        # One from the future would outlast all that is fetched from now on: it goes first.
                        used = 0.0 if status.st_mtime > now + _STALE else status.st_mtime
                        kept.append((used, status.st_size, path))
                        size += status.st_size
            for _, length, path in sorted(kept):
                if size <= self._limit:
                    return
                with suppress(OSError):
                    path.unlink()
                    size -= length
