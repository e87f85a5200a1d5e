"""Files in remote zip files, found by the directory at their end: of gigabytes, some kilobytes are read."""

import json
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

from jspsr_cli.errors import MissingTile, WrongTile
from jspsr_cli.fetch.cache import Cache
from jspsr_cli.fetch.download import Downloader, shown
from jspsr_cli.fetch.pieces import SOMETHING_ELSE, Inside

# Bytes at the end that are read first: the record that ends a zip file, its ZIP64 forms and its longest comment, which
# is more than the directory of 100 tiles takes.
TAIL = 2**16 + 200

# The directory of 100,000 files: one that says it is longer is hostile.
LONGEST_DIRECTORY = 16 * 2**20

# What stands before each file: signature, eight fields that the directory has too, lengths of the name and of what
# follows it, which may differ from the directory's. Source: PKWARE's APPNOTE, section 4.3.7.
LOCAL = struct.Struct("<4s22xHH")

# What `zipfile` raises where bytes are not what they should be.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, OverflowError, struct.error)

Member = tuple[int, int, bool]


@dataclass(frozen=True)
class Directory:
    """Of a zip file of `total` bytes: offset, length and whether it is stored as it is, of each file by its name."""

    total: int
    members: dict[str, Member]

    @classmethod
    def unpacked(cls, kept: bytes) -> "Directory | None":
        """What was kept as JSON; None where no such zip file was."""
        said = json.loads(kept)
        return said and cls(said["total"], {name: tuple(member) for name, member in said["members"].items()})


class ZipReader:
    """Finds files in remote zip files through a cache. For any number of threads."""

    def __init__(self, downloader: Downloader, cache: Cache) -> None:
        self._downloader, self._cache = downloader, cache
        self._known: dict[str, Directory | None] = {}

    def find(self, address: str, member: str, *, key: str) -> Inside | None:
        """Where in the zip file at `address`, which the cache knows by `key`, `member` lies; None where it does not.

        Raises:
            WrongTile: the zip file is damaged, or the file is compressed in it.
            FetchFailed: see `Downloader.read`.
        """
        title = f"{PurePosixPath(address).name} ({shown(address)})"
        directory = self._directory(address, key, title, member)
        if directory is None or member not in directory.members:
            return None
        offset, length, stored = directory.members[member]
        if not stored:
            raise WrongTile(
                f"{member} is compressed in {title}, so it cannot be read in parts: unpack that file and give its "
                "tiles to enhance themselves."
            )
        with self._locked(f"{key}.{member}"):
            start = f"{key}/start.{directory.total}.{offset}"
            first = self._first(address, offset, directory.total, member, key=start)
        if first is None or first + length > directory.total:
            raise WrongTile(f"{title} is damaged: {member} is not where its directory has it.")
        return Inside(first, length, directory.total)

    def forget(self, key: str) -> None:
        """Let nothing of the zip file be taken from the cache, or be remembered."""
        self._known.pop(key, None)
        self._cache.forget(key)

    def _locked(self, key: str) -> AbstractContextManager[None]:
        return self._cache.locked(key, cancelled=lambda: self._downloader.cancelled)

    def _directory(self, address: str, key: str, title: str, member: str) -> Directory | None:
        with suppress(KeyError):
            return self._known[key]
        with self._locked(f"{key}.directory"):
            with suppress(KeyError):  # another thread was first
                return self._known[key]
            kept = self._cache.get(f"{key}/directory")
            found = Directory.unpacked(kept) if kept else self._read_directory(address, title, member)
            if not kept:
                said = found and {"total": found.total, "members": found.members}
                self._cache.put(f"{key}/directory", json.dumps(said).encode())
            self._known[key] = found
            return found

    def _read_directory(self, address: str, title: str, member: str) -> Directory | None:
        """That of the zip file at `address`, in which `member` is looked for; None where no such zip file is."""

        def read(start: int, length: int) -> bytes:
            return self._downloader.read(address, start, length, name=member).content

        try:
            total = self._downloader.read(address, 0, 1, name=member).total
        except MissingTile:
            return None
        if total is None:
            raise WrongTile(
                f"{title} comes without its size, so its end cannot be found: name a mirror with "
                f"{self._downloader.origin.choices}."
            )
        try:
            with zipfile.ZipFile(cast(IO[bytes], _Bytes(read, total))) as content:
                infos = content.infolist()
        except _DAMAGED as error:
            raise WrongTile(f"{title} is damaged, or no zip file: {SOMETHING_ELSE}.") from error
        members = {}
        for info in infos:
            stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
            members[PurePosixPath(info.filename).name] = (info.header_offset, info.file_size, stored)
        return Directory(total, members)

    def _first(self, address: str, offset: int, total: int, member: str, *, key: str) -> int | None:
        """Where the bytes of the file begin that has its local header at `offset`; None where there is none."""
        kept = self._cache.get(key)
        if kept:
            return int(kept)
        if not 0 <= offset <= total - LOCAL.size:
            return None
        piece = self._downloader.read(address, offset, LOCAL.size, name=member)
        if piece.total != total or piece.content[:4] != b"PK\x03\x04":
            return None
        _, name, extra = LOCAL.unpack(piece.content)
        first = offset + LOCAL.size + int(name) + int(extra)
        self._cache.put(key, str(first).encode())
        return first


class _Bytes:
    """A remote file as `zipfile` reads it, its end in memory."""

    def __init__(self, read: Callable[[int, int], bytes], total: int) -> None:
        self._read, self._total, self._at = read, total, 0
        self._start = max(0, total - TAIL)
        self._tail = read(self._start, total - self._start) if total else b""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self._total)[whence]
        if at < 0:
            raise ValueError("it is too short")
        self._at = at
        return at

    def read(self, length: int = -1) -> bytes:
        length = min(length if length >= 0 else self._total, max(0, self._total - self._at))
        if length > LONGEST_DIRECTORY:
            raise ValueError("its directory is longer than can be")
        start, self._at = self._at, self._at + length
        if start >= self._start or not length:
            return self._tail[start - self._start :][:length] if length else b""
        return self._read(start, length)
