"""The bytes of a TIFF that say where its pixels lie: in front, as in a Cloud Optimized GeoTIFF, or anywhere.

What GDAL meets as a hole in place of them it takes for blocks that were left out, and so for pixels without data:
nothing of them may be missing. Source: TIFF 6.0, section 2, and the BigTIFF extension.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from jspsr_cli.errors import WrongTile
from jspsr_cli.fetch.download import Piece

# Bytes that are read first: the header of a whole GLO-30 tile has about 1,000, and GDAL itself begins with as many.
HEADER = 16_384

# Bytes that are read from where more is needed: the offsets of the 16,384 blocks of a canopy tile have 131,072.
MORE = 262_144

# No header is as long, and no file has as many images or as many fields in one: those that say so are hostile.
LONGEST_HEADER, MOST_IMAGES, MOST_FIELDS = 16 * 2**20, 64, 1024

# Bytes of a value by its type, from 1 on.
SIZES = (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)

# How numbers are written in what begins with these bytes, which every TIFF does.
ORDERS = {b"II": "<", b"MM": ">"}

Read = Callable[[int, int], Piece]


@dataclass(frozen=True)
class Header:
    """Parts of a file, each with its offset, and the size of the whole where the server tells it."""

    parts: tuple[tuple[int, bytes], ...]
    total: int | None

    def packed(self) -> bytes:
        """All of it as bytes, to be kept."""
        said = {"total": self.total, "parts": [(offset, len(content)) for offset, content in self.parts]}
        return json.dumps(said).encode() + b"\n" + b"".join(content for _, content in self.parts)

    @classmethod
    def unpacked(cls, kept: bytes) -> "Header":
        """What `packed` gave."""
        line, _, rest = kept.partition(b"\n")
        said, parts, start = json.loads(line), [], 0
        for offset, length in said["parts"]:
            parts.append((offset, rest[start : start + length]))
            start += length
        return cls(tuple(parts), said["total"])

    @property
    def is_tiff(self) -> bool:
        """Whether it begins as a TIFF."""
        return self.parts[0][1][:2] in ORDERS

    @property
    def version(self) -> str:
        """Tells this version of the file from others."""
        return hashlib.sha256(self.packed()).hexdigest()[:16]

    def write(self, file: BinaryIO) -> None:
        """Put the parts where they belong; what is between them is a hole."""
        for offset, content in self.parts:
            file.seek(offset)
            file.write(content)
        file.truncate(max(self.total or 0, file.seek(0, 2)))


def read_header(read: Read, *, title: str) -> Header:
    """What has to be known of a TIFF, of which `read` gives bytes from an offset on; `title` is for messages.

    Of what is no TIFF, its beginning.

    Raises:
        WrongTile: it ends before what it says it has, or has more than can be.
        MissingTile, FetchFailed: from `read`.
    """
    held = _Held(read, title)
    _walk(held)
    return Header(tuple(held.parts), held.total)


class _Held:
    """Parts of a file, more of them whenever more is asked for."""

    def __init__(self, read: Read, title: str) -> None:
        first = read(0, HEADER)
        self.parts = [(0, first.content)]
        self.total = first.total
        self._read, self._title = read, title

    def take(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        for start, content in self.parts:
            if start <= offset and offset + length <= start + len(content):
                return content[offset - start : offset - start + length]
        room = length if self.total is None else min(max(length, MORE), self.total - offset)
        if room < length or sum(len(content) for _, content in self.parts) + room > LONGEST_HEADER:
            raise WrongTile(f"{self._title} is damaged: parts of its header lie where they cannot.")
        piece = self._read(offset, room)
        if piece.total != self.total or len(piece.content) < length:
            raise WrongTile(f"{self._title} was replaced while it was read: try again.")
        self.parts.append((offset, piece.content))
        return piece.content[:length]

    def refuse(self) -> WrongTile:
        return WrongTile(f"{self._title} is damaged: its header has more parts than can be.")


def _walk(held: _Held) -> None:
    """Take the list of fields of each image in the file, and what lies elsewhere of them."""
    start = held.parts[0][1][:16]
    order = ORDERS.get(start[:2])
    version = struct.unpack(f"{order}H", start[2:4])[0] if order and len(start) == 16 else 0
    if version not in (42, 43):
        return
    # Of a classic file, and of a BigTIFF: the number of fields, a field, and an offset or what is short enough for one.
    number, field, offset = ("H", "HHI4s", "I") if version == 42 else ("Q", "HHQ8s", "Q")
    number, field, offset = (f"{order}{form}" for form in (number, field, offset))
    ahead, short = struct.calcsize(number), struct.calcsize(offset)
    (place,) = struct.unpack_from(offset, start, 4 if version == 42 else 8)
    seen: set[int] = set()
    while place and place not in seen:
        seen.add(place)
        (count,) = struct.unpack(number, held.take(place, ahead))
        if count > MOST_FIELDS or len(seen) > MOST_IMAGES:
            raise held.refuse()
        fields = held.take(place + ahead, count * struct.calcsize(field) + short)
        for _, kind, values, said in struct.iter_unpack(field, fields[:-short]):
            length = values * (SIZES[kind - 1] if 0 < kind <= len(SIZES) else 0)
            if length > short:
                held.take(struct.unpack(offset, said)[0], length)
        (place,) = struct.unpack(offset, fields[-short:])
