"""What has to be known of a TIFF is found wherever it lies, and nothing of it is taken for a hole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from jspsr_cli.errors import WrongTile
from jspsr_cli.fetch.download import Piece
from jspsr_cli.fetch.header import LONGEST_HEADER, Header, read_header
from jspsr_cli.raster.cog import read_layout
from tests.scenes import write_raster

WHOLE = Window(0, 0, 1024, 1024)

VARIANTS: dict[str, dict[str, Any]] = {
    "strips": {},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "BigTIFF": {"tiled": True, "blockxsize": 16, "blockysize": 16, "bigtiff": "YES"},
    "big-endian": {"tiled": True, "blockxsize": 16, "blockysize": 16, "ENDIANNESS": "BIG"},
    "big-endian BigTIFF": {"compress": "lzw", "bigtiff": "YES", "ENDIANNESS": "BIG"},
    "deflate": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
}


def made(path: Path, *, late: bool, **profile: Any) -> Path:
    """Noise; where `late`, its directory is written anew at the end, and those of overviews after it."""
    values = np.random.default_rng(3).integers(0, 255, (1024, 1024)).astype(np.uint8)
    write_raster(path, values, crs="EPSG:3857", transform=rasterio.Affine(2, 0, 0, 0, -2, 0), **profile)
    if late:
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(remark="x" * 30_000)
            dataset.build_overviews([2, 4])
    return path


class Reader:
    def __init__(self, content: bytes, total: int | None = None) -> None:
        self.content, self.total, self.asked = content, total or len(content), 0

    def __call__(self, offset: int, length: int) -> Piece:
        self.asked += 1
        return Piece(self.content[offset : offset + length], self.total)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_blocks_are_known_from_the_header(tmp_path: Path, variant: str, late: bool) -> None:
    path = made(tmp_path / "whole.tif", late=late, **VARIANTS[variant])
    reader = Reader(path.read_bytes())
    header = Header.unpacked(read_header(reader, title="it").packed())
    with (tmp_path / "holes.tif").open("wb") as file:
        header.write(file)
    expected = read_layout(path, WHOLE, name="it")
    assert read_layout(tmp_path / "holes.tif", WHOLE, name="it") == expected
    assert len(expected.blocks) in (64 * 64, 128)
    assert reader.asked <= 7
    if variant == "tiles" and not late:
        assert sum(len(content) for _, content in header.parts) < path.stat().st_size / 2


def test_a_header_that_is_in_front_is_read_at_once(tmp_path: Path) -> None:
    reader = Reader(made(tmp_path / "x.tif", late=False).read_bytes())
    assert [offset for offset, _ in read_header(reader, title="it").parts] == [0]
    assert reader.asked == 1


@pytest.mark.parametrize("content", [b"", b"II", b"<html>Please log in</html>", b"II*\x00" + bytes(40), bytes(20_000)])
def test_what_is_no_tiff_is_left_to_gdal(content: bytes) -> None:
    assert read_header(Reader(content), title="it").parts == ((0, content[:16_384]),)


def test_a_file_that_ends_before_its_header(tmp_path: Path) -> None:
    content = made(tmp_path / "x.tif", late=True).read_bytes()
    with pytest.raises(WrongTile, match="it is damaged: parts of its header lie where they cannot"):
        read_header(Reader(content[:1_060_000]), title="it")


def test_a_header_without_end_is_not_read() -> None:
    """A field of 2 GB, in a file that says it is large enough; and a directory of as many fields as can be counted."""
    entry = b"\x11\x01\x04\x00" + (2**29).to_bytes(4, "little") + (100).to_bytes(4, "little")
    reader = Reader(b"II*\x00\x08\x00\x00\x00\x01\x00" + entry + bytes(4) + bytes(20_000), total=2**40)
    with pytest.raises(WrongTile, match="damaged"):
        read_header(reader, title="it")
    assert reader.asked == 1
    assert LONGEST_HEADER < 2**31
    reader = Reader(b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(2**20))
    with pytest.raises(WrongTile, match="more parts than can be"):
        read_header(reader, title="it")


def test_a_file_that_is_replaced_meanwhile(tmp_path: Path) -> None:
    reader = Reader(made(tmp_path / "x.tif", late=True).read_bytes())

    def read(offset: int, length: int) -> Piece:
        piece = reader(offset, length)
        return Piece(piece.content, (piece.total or 0) + (offset > 0))

    with pytest.raises(WrongTile, match="was replaced"):
        read_header(read, title="it")
