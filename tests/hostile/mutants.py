"""Files that are almost right, each made again by its seed and number."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rasterio.windows import Window

from jspsr_models import WeightsInfo, identity_checkpoint, save_network, to_released
from tests.fetch.archive import save_tile
from tests.fetch.others import save_block
from tests.scenes import Array, bicubic, centres, cop30, guide_over, piece
from tests.training.dataset import rewrite, write_config

#: values at which lengths, offsets and counts turn
EDGES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

#: what means something to one parser or another
WORDS = (
    b'"', b"{", b"}", b"[", b"]", b":", b",", b"&a ", b"*a", b"!!python/name:os.system ", b"<<: ", b"\x1b[2J", b"\0",
    b"..", b"/", b"/etc/passwd", b"file:///etc/passwd", b"%s", b"1e999", b"-1", b"nan", b"null", b"\xff\xfe",
    b"9" * 400, b"<VRTDataset", b"\r\n", b"\r\n\r\n", b"PK\x05\x06", b"\xe2\x80\xae",
)  # fmt: skip


def mutant(content: bytes, chance: random.Random) -> bytes:
    """`content` with one to eight changes, half of them near its beginning or its end, where headers are.

    Every other mutant has one small change that moves nothing: more is refused at once by most readers.
    """
    changed = bytearray(content)
    small = chance.random() < 0.5
    for _ in range(1 if small else chance.randint(1, 8)):
        size = len(changed)
        near = chance.randrange(600)
        at = chance.choice((chance.randrange(size + 1), min(size, near), max(0, size - near)))
        length = chance.choice((1, 1, 2, 4, 8, 64, 1024))
        kind = chance.randrange(2 if small else 7)
        if kind == 0 and at < size:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            width = chance.choice((1, 2, 4, 8))
            value = chance.choice(EDGES) & (256**width - 1)
            changed[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length] * chance.choice((1, 1, 50))
        elif kind == 4:
            changed[at : at + length] = chance.randbytes(length)
        elif kind == 5:
            changed[at:at] = chance.choice(WORDS)
        elif chance.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def _tiff(folder: Path) -> bytes:
    dem = cop30(folder / "seed.dem.tif", lon=9.1, lat=45.0, size=30)
    guide = guide_over(folder / "seed.tif", dem, crs="EPSG:32632", resolution=8, share=0.3, compress="deflate")
    return guide.read_bytes()


def _dem(folder: Path) -> bytes:
    dem = cop30(folder / "seed.dem.tif", lon=9.1, lat=45.0, size=30)
    return piece(folder / "seed.tif", dem, Window(9, 9, 12, 12)).read_bytes()


def _fine(folder: Path, dtype: str, values: Callable[[Path, Path], Array], **profile: Any) -> bytes:
    """A raster of 4 m on the ground of a DEM, `values` of the raster and that."""
    dem = cop30(folder / "seed.dem.tif", lon=9.1, lat=45.0, size=30)
    place: dict[str, Any] = {"crs": "EPSG:32632", "resolution": 4, "share": 0.8, "bands": 1, "dtype": dtype}
    path = guide_over(folder / "seed.tif", dem, **place)
    rewrite(path, values(path, dem).astype(dtype)[None], **profile)
    return path.read_bytes()


def _dtm(folder: Path) -> bytes:
    layout = {"compress": "lzw", "predictor": 3, "nodata": -9999}
    return _fine(folder, "float32", lambda path, dem: bicubic(dem, *centres(path)), **layout)


def _canopy(folder: Path) -> bytes:
    def trees(path: Path, _dem: Path) -> Array:
        x, y, _ = centres(path)
        return 12 * (np.sin(x / 40) * np.sin(y / 30) > 0)

    return _fine(folder, "uint8", trees, compress="deflate")


def _pt(_folder: Path) -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": to_released(identity_checkpoint().state_dict())}, content)
    return content.getvalue()


def _legacy(_folder: Path) -> bytes:
    content = io.BytesIO()
    torch.save(to_released(identity_checkpoint().state_dict()), content, _use_new_zipfile_serialization=False)
    return content.getvalue()


def _safetensors(folder: Path) -> bytes:
    path = folder / "seed.safetensors"
    save_network(identity_checkpoint(), path, WeightsInfo(name="x", sha256="", inputs=("image",), num_feature=4))
    return path.read_bytes()


def _yaml(folder: Path) -> bytes:
    return write_config(folder / "seed.yaml", folder).read_bytes()


def _geojson(_folder: Path) -> bytes:
    ring = [[9.05, 44.95], [9.15, 44.95], [9.15, 45.05], [9.05, 45.05], [9.05, 44.95]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    feature = {"type": "Feature", "properties": {"a": 1}, "geometry": shape}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}).encode()


def _zip(folder: Path) -> bytes:
    block = folder / "N40E000-N50E010_FABDEM_V1-2.zip"
    save_block(block, {(45, 9): (9.1, 45.1, 9.12, 45.12)}, compression=zipfile.ZIP_STORED, compress="deflate")
    return block.read_bytes()


def _tile(folder: Path) -> bytes:
    return save_tile(folder / "seed.bucket", 45, 9, [(9.1, 45.1, 9.12, 45.12)]).read_bytes()


def _answer(_folder: Path) -> bytes:
    lines = "HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-15/16", "Content-Length: 16", "Connection: close"
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + bytes(16)


def _redirect(_folder: Path) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 16\r\nConnection: close\r\n\r\n" + bytes(16)


#: the whole file that mutants of a kind are made of
SEEDS: dict[str, Callable[[Path], bytes]] = {
    "tif": _tiff, "dem": _dem, "dtm": _dtm, "canopy": _canopy,
    "pt": _pt, "legacy": _legacy, "safetensors": _safetensors, "yaml": _yaml,
    "geojson": _geojson, "zip": _zip, "tile": _tile, "answer": _answer, "redirect": _redirect,
}  # fmt: skip
