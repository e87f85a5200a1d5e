"""Files that somebody made on purpose, and a server that notes who asks."""

import io
import json
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rasterio
import torch

from jspsr_models import WeightsInfo, identity_checkpoint, save_network, to_released

#: an escape code that names the window of a terminal, one that clears it, and a mark that turns text round
ESCAPES = "\x1b]0;mine\x07\x1b[2J\u202e"


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """The address of a server that has nothing, and what it was asked for."""
    asked: list[str] = []

    class Noting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Noting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def tiff(width: int, height: int, *, bands: int = 1, tile: int = 0, rows: int = 0) -> bytes:
    """A header of 8 bit in UTM that claims what it wants, with next to nothing behind it."""
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, bands),
    ]
    if tile:
        fields += [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, 1)]
    else:
        fields += [(273, 4, 1, 8), (278, 4, 1, rows or height), (279, 4, 1, 1)]
    geo = (
        (33550, 12, 3, struct.pack("<3d", 8, 8, 0)),
        (33922, 12, 6, struct.pack("<6d", 0, 0, 0, 507_700, 4_983_200, 0)),
        (34735, 3, 16, struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)),
    )
    behind, start = b"", 8 + 2 + 12 * (len(fields) + len(geo)) + 4
    for tag, kind, count, content in geo:
        fields.append((tag, kind, count, start + len(behind)))
        behind += content
    entries = b"".join(struct.pack("<HHII", *field) for field in sorted(fields))
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + behind


def vrt(source: str, like: Path, *, raw: bool = False) -> str:
    """The text of a VRT of three bands on the pixels of `like` that reads `source`."""
    with rasterio.open(like) as dataset:
        place, width, height = dataset.transform.to_gdal(), dataset.width, dataset.height
    if raw:
        kind, inner = ' subClass="VRTRawRasterBand"', f"<SourceFilename>{source}</SourceFilename>"
    else:
        kind = ""
        inner = f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{i}"{kind}>{inner}</VRTRasterBand>' for i in (1, 2, 3))
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>{', '.join(map(str, place))}</GeoTransform>{bands}</VRTDataset>"
    )


def polygons(**more: Any) -> str:
    """A square of 2 km as GeoJSON; `more` are members of the collection."""
    ring = [[9.09, 44.99], [9.11, 44.99], [9.11, 45.01], [9.09, 45.01], [9.09, 44.99]]
    feature = {
        "type": "Feature",
        "properties": {"type": "link"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature], **more})


def link(address: str) -> dict[str, Any]:
    return {"type": "link", "properties": {"href": address, "type": "ogcwkt"}}


def checkpoint(content: Any = None) -> bytes:
    held = io.BytesIO()
    torch.save({"state_dict": to_released(identity_checkpoint().state_dict())} if content is None else content, held)
    return held.getvalue()


def packed(content: bytes, *, grown: int) -> bytes:
    """The parts of a checkpoint compressed, the first of its tensors grown to `grown` bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, bytes(grown) if part.filename.endswith("data/0") else old.read(part))
    return held.getvalue()


def of_disks(content: bytes, count: int) -> bytes:
    """A checkpoint that says that it lies on so many disks."""
    at = content.rindex(b"PK\x06\x07") + 16
    return content[:at] + struct.pack("<I", count) + content[at + 4 :]


def pickled(program: bytes) -> bytes:
    """A checkpoint whose pickle is `program`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/version", "3\n")
    return held.getvalue()


def stating(folder: Path, **fields: Any) -> bytes:
    """A safetensors file whose metadata state `fields`."""
    path = folder / "stating"
    save_network(identity_checkpoint(), path, WeightsInfo(name="x", sha256="", inputs=("image",), num_feature=4))
    content = path.read_bytes()
    path.unlink()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    said = json.loads(header["__metadata__"]["jspsr"]) | fields
    text = json.dumps(header | {"__metadata__": {"jspsr": json.dumps(said)}}).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def header_of_many(count: int) -> bytes:
    """A safetensors file of `count` tensors without a number in them."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps({f"t{i}": empty for i in range(count)}).encode()
    return struct.pack("<Q", len(text)) + text
