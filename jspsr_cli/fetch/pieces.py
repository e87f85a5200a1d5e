"""The blocks of a remote Cloud Optimized GeoTIFF that a window needs, as a local file with holes.

GDAL could read the remote file by itself (/vsicurl/), but keeps no bytes for another process, tries again for a part of
what can go wrong only, and is not interrupted by Ctrl-C. Here it reads what is whole and local.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rasterio.windows import Window

from jspsr_cli.errors import MissingTile, WrongTile
from jspsr_cli.fetch.cache import Cache
from jspsr_cli.fetch.download import Downloader, Piece, shown
from jspsr_cli.fetch.header import Header, read_header
from jspsr_cli.raster.cog import CogLayout, is_whole, read_layout

# One request for blocks that lie closer together than it takes to ask twice, and no longer than can be lost at once.
CLOSE, LONGEST = 65_536, 8 * 2**20

# How often a file is fetched that comes damaged, or is replaced while it is read.
TRIES = 3

# No tile of any archive is as large: a file that says so is hostile.
LARGEST_FILE = 4 * 2**30

# What to do where something else comes in the place of a file, mostly a page that asks to log in.
SOMETHING_ELSE = "check the address, or whether a proxy answers in its place"

Block = tuple[int, int]


@dataclass(frozen=True)
class Inside:
    """Where in a larger file, of `total` bytes, a file of `length` bytes lies."""

    first: int
    length: int
    total: int


@dataclass(frozen=True, kw_only=True)
class RemoteCog:
    """A file at `address`, or `inside` of what is there; `name` is for messages, `key` for the cache.

    `check` raises WrongTile where the layout is not that of the file meant. One that is `optional` may be missing.
    """

    address: str
    name: str
    key: str
    check: Callable[[CogLayout], None]
    inside: Inside | None = None
    optional: bool = False

    @property
    def title(self) -> str:
        """Name and address for messages."""
        return f"{self.name} ({shown(self.address)})"


def absence(key: str) -> str:
    """Folder of the cache that says that nothing is there for `key`."""
    return f"{key}.missing"


class PieceReader:
    """Reads remote COGs through a cache. For any number of threads."""

    def __init__(self, downloader: Downloader, cache: Cache) -> None:
        self._downloader = downloader
        self._cache = cache

    def gather(self, cog: RemoteCog, window: Window, target: Path, *, progress: Callable[[float], None]) -> bool:
        """Write a file `target` that holds the header of `cog` and the blocks under `window`, and holes elsewhere.

        `progress` gets shares of the work that add up to 1. What is damaged on the way is fetched again. False where
        an optional file is missing.

        Raises:
            WrongTile: it is damaged, or not what its name says.
            MissingTile, FetchFailed: see `Downloader.read`.
        """
        with self._cache.locked(cog.key, cancelled=lambda: self._downloader.cancelled):
            for _ in range(TRIES - 1):
                try:
                    return self._gather(cog, window, target, progress)
                except WrongTile:
                    self.forget(cog)
            return self._gather(cog, window, target, progress)

    def forget(self, cog: RemoteCog) -> None:
        """Let nothing of `cog` be taken from the cache any more."""
        self._cache.forget(cog.key)

    def _gather(self, cog: RemoteCog, window: Window, target: Path, progress: Callable[[float], None]) -> bool:
        held = self._cache.get(f"{cog.key}/header")
        header = Header.unpacked(held) if held else self._header(cog)
        if header is None:
            progress(1)
            return False
        if (header.total or 0) > LARGEST_FILE:
            raise WrongTile(f"{cog.title} has {header.total} bytes: it is not what its name says.")
        with target.open("wb") as file:
            header.write(file)
        if not header.is_tiff:
            raise WrongTile(f"{cog.title} is damaged, or no Cloud Optimized GeoTIFF: {SOMETHING_ELSE}.")
        layout = read_layout(target, window, name=cog.title)
        cog.check(layout)
        if not held:
            self._cache.put(f"{cog.key}/header", header.packed())
        # Blocks belong to this very header: those of another version can never be mixed in.
        version = f"{cog.key}/{header.version}"
        with target.open("r+b") as file:
            missing = []
            for offset, length in layout.blocks:
                if offset + length > (header.total or LARGEST_FILE):
                    raise WrongTile(f"{cog.title} ends before its last block: it is damaged.")
                block = self._cache.get(f"{version}/{offset}") or b""
                if len(block) == length:
                    _write(file, offset, block)
                else:
                    missing.append((offset, length))
            needed = sum(length for _, length in layout.blocks)
            progress(1 - sum(length for _, length in missing) / max(1, needed))
            for blocks in spans(missing):
                for offset, content in self._fetched(cog, blocks, header, layout):
                    _write(file, offset, content)
                    self._cache.put(f"{version}/{offset}", content)
                progress(sum(length for _, length in blocks) / needed)
        return True

    def _header(self, cog: RemoteCog) -> Header | None:
        """What has to be known of `cog`, from the network; None where it is optional and missing."""
        absent = f"{absence(cog.key)}/noted"
        if cog.optional and self._cache.get(absent) is not None:
            return None
        try:
            return read_header(lambda start, length: self._read(cog, start, length), title=cog.title)
        except MissingTile:
            if not cog.optional:
                raise
            self._cache.put(absent, b"")
            return None

    def _read(self, cog: RemoteCog, start: int, length: int) -> Piece:
        inside = cog.inside
        if inside is None:
            return self._downloader.read(cog.address, start, length, name=cog.name)
        length = min(length, inside.length - start)
        piece = self._downloader.read(cog.address, inside.first + start, length, name=cog.name)
        if piece.total != inside.total:
            raise WrongTile(f"{cog.title} was replaced while it was read: try again.")
        return Piece(piece.content, inside.length)

    def _fetched(
        self, cog: RemoteCog, blocks: Sequence[Block], header: Header, layout: CogLayout
    ) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of each of `blocks`, which one request brings."""
        start, stop = blocks[0][0], max(offset + length for offset, length in blocks)
        piece = self._read(cog, start, stop - start)
        if piece.total != header.total:
            raise WrongTile(f"{cog.title} was replaced while it was read: try again.")
        for offset, length in blocks:
            content = piece.content[offset - start : offset - start + length]
            if not is_whole(content, layout):
                choices = self._downloader.origin.choices
                raise WrongTile(f"{cog.title} is damaged: try later, or name a mirror with {choices}.")
            yield offset, content


def spans(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """`blocks` gathered into those that one request brings, in the order in which they lie in the file."""
    span: list[Block] = []
    for offset, length in sorted(blocks):
        if span and (offset - sum(span[-1]) > CLOSE or offset + length - span[0][0] > LONGEST):
            yield span
            span = []
        span.append((offset, length))
    if span:
        yield span


def _write(file: BinaryIO, offset: int, content: bytes) -> None:
    file.seek(offset)
    file.write(content)
