"""A small disk of its own, that can be filled and can become read-only: also for root, who may write everywhere."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path

import pytest


class Disk:
    """A disk at `folder`, in memory, which only processes started with the words `within` see."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.within = ("nsenter", "--preserve-credentials", "--user", "--mount", f"--target={holder}")
        #: the folder as this process sees it
        self.seen = Path(f"/proc/{holder}/root{folder}")

    def listing(self) -> set[str]:
        return {str(path.relative_to(self.seen)) for path in self.seen.rglob("*")}

    @contextmanager
    def filled(self, *, spare: int) -> Iterator[None]:
        """Let there be only `spare` bytes left."""
        ballast = self.seen / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                with pytest.raises(OSError, match="No space left"):
                    _write_for_ever(file)
                file.truncate(max(0, file.tell() - spare))
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing be opened for writing; what is open stays so, as after an error of the disk."""
        aside = self.folder.with_name("aside")  # and then in one step, as a folder that is written to is busy
        aside.mkdir(exist_ok=True)
        self._call("mount", "--bind", self.folder, aside)
        self._call("mount", "-o", "remount,bind,ro", aside)
        self._call("mount", "--move", aside, self.folder)
        try:
            yield
        finally:
            self._call("umount", self.folder)

    def _call(self, *words: str | Path) -> None:
        subprocess.run([*self.within, *words], check=True, timeout=60)


def _write_for_ever(file: RawIOBase) -> None:
    while True:
        file.write(bytes(1 << 16))


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Disk]:
    """A disk at `folder`, which is made; the test is skipped where the machine does not let one be made."""
    if not all(shutil.which(program) for program in ("unshare", "nsenter", "mount")):
        pytest.skip("needs unshare, nsenter and mount")
    folder.mkdir()
    mount = 'mount -t tmpfs -o size="$1" none "$2" && echo up && exec cat'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", f"{megabytes}m", str(folder)]
    # It ends, and the disk with it, when nobody holds the other end of its stdin any more.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "up\n":
            pytest.skip(f"no disk can be mounted here: {holder.stderr.read().strip()}")
        disk = Disk(folder, holder.pid)
        assert os.listdir(disk.seen) == []
        yield disk
        holder.stdin.close()
