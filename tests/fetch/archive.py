"""Tiles in the true layout of the public buckets, and a server for them that can be told to misbehave."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.shutil import copy as gdal_copy
from rasterio.windows import Window, from_bounds

from tests.scenes import Array

#: Columns per degree by the latitude they begin at, as the readme of the bucket has them; of GLO-90, a third.
COLUMNS = ((0, 3600), (50, 2400), (60, 1800), (70, 1200), (80, 720), (85, 360))

BUCKETS = {30: "copernicus-dem-30m", 90: "copernicus-dem-90m"}


def tile_name(south: int, west: int, metres: int = 30) -> str:
    latitude = f"{'S' if south < 0 else 'N'}{abs(south):02d}"
    longitude = f"{'W' if west < 0 else 'E'}{abs(west):03d}"
    return f"Copernicus_DSM_COG_{metres // 3}_{latitude}_00_{longitude}_00_DEM"


def tile_place(south: int, west: int, metres: int = 30) -> tuple[Affine, int, int]:
    """Transform, width and height of a tile."""
    nearest = south if south >= 0 else -south - 1
    share = metres // 30
    columns = next(count for start, count in reversed(COLUMNS) if nearest >= start) // share
    rows = 3600 // share
    place = Affine(1 / columns, 0, west - 0.5 / columns, 0, -1 / rows, south + 1 + 0.5 / rows)
    return place, columns, rows


def ground(lon: Array, lat: Array) -> Array:
    """Heights in metres at longitudes and latitudes, the same after every turn: hills of 0.01 degrees, never flat."""
    x, y = np.radians(lon), np.radians(lat)
    heights: Array = 300 + 40 * np.sin(36_000 * x) * np.cos(33_000 * y) + 20 * np.cos(9_000 * x + 12_345 * y)
    return heights


def save_tile(
    bucket: Path, south: int, west: int, boxes: Sequence[Any] | None = None, *, metres: int = 30, **profile: Any
) -> Path:
    """A tile in its folder of `bucket`: `ground` within `boxes` (longitude and latitude), else 0 and not stored.

    A box may be a raster whose pixels are put in where they lie.
    """
    name = tile_name(south, west, metres)
    place, width, height = tile_place(south, west, metres)
    path = bucket / name / f"{name}.tif"
    path.parent.mkdir(parents=True)
    layout = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "width": width, "height": height}
    blocks = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "sparse_ok": True}
    plain = path.with_suffix(".plain.tif")
    with rasterio.open(plain, "w", transform=place, **{**layout, **profile}, **blocks) as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
        for box in boxes or [(west, south, west + 1, south + 1)]:
            if isinstance(box, Path):
                with rasterio.open(box) as source:
                    col, row = ~place * (source.transform.c, source.transform.f)
                    window = Window(round(col), round(row), source.width, source.height)
                    dataset.write(source.read(1), 1, window=window)
                continue
            window = from_bounds(*box, transform=place).round_lengths().round_offsets()
            window = window.intersection(Window(0, 0, width, height))
            t = rasterio.windows.transform(window, place)
            cols, rows = np.meshgrid(np.arange(window.width) + 0.5, np.arange(window.height) + 0.5)
            heights = ground(t.a * cols + t.c, t.e * rows + t.f).astype(dataset.dtypes[0])
            for band in dataset.indexes:
                dataset.write(heights, band, window=window)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": 1024, "overviews": "NONE", "sparse_ok": True}
    gdal_copy(plain, path, driver="COG", **options)
    plain.unlink()
    return path


Fault = Callable[["Handler", bytes, int], None]


@dataclass
class Request:
    """What was asked for: path and first and last byte."""

    path: str
    first: int
    last: int


class Server(ThreadingHTTPServer):
    """Serves the files of a folder by ranges. `faults` takes the next answers, one each, for paths that match."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{BUCKETS[30]}"

    @property
    def sent(self) -> int:
        """Bytes that were asked for."""
        return sum(request.last - request.first + 1 for request in self.requests)

    def handle_error(self, *_: Any) -> None:
        """Clients may go away."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("://")[2].partition("/")[2] if "://" in self.path else self.path.lstrip("/")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(found[1]), int(found[2])) if found else (0, 10**12)
        file = self.server.folder / path
        content = file.read_bytes() if file.is_file() else b""
        with self.server.lock:
            self.server.requests.append(Request(path, first, min(last, max(len(content) - 1, 0))))
            fault = self.server.faults.pop(0) if self.server.faults else self.server.always
        if fault:
            fault(self, content, first)
        elif not file.is_file():
            self.answer(404)
        else:
            self.send_range(content, first, last)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_range(self, content: bytes, first: int, last: int, *, body: bytes | None = None, total: str = "") -> None:
        piece = content[first : last + 1]
        self.send_response(206)
        end = first + len(piece) - 1
        self.send_header("Content-Range", f"bytes {first}-{end}/{total or len(content)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece if body is None else body)

    @property
    def asked(self) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert found
        return int(found[1]), int(found[2])

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def status(code: int, **headers: str) -> Fault:
    """Answer with a status."""
    return lambda handler, _content, _first: handler.answer(code, **headers)


def cut(after: int) -> Fault:
    """Close the connection after some bytes of the body."""

    def fault(handler: Handler, content: bytes, first: int) -> None:
        handler.send_range(content, first, handler.asked[1], body=content[first : first + after])
        handler.close_connection = True

    return fault


def silent(seconds: float) -> Fault:
    """Take the request, and answer nothing."""

    def fault(handler: Handler, _content: bytes, _first: int) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return fault


def dripping(handler: Handler, content: bytes, first: int) -> None:
    """Send a byte now and then."""
    handler.send_range(content, first, handler.asked[1], body=b"")
    for byte in content[first : first + 200]:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.005)
    handler.close_connection = True


def whole(handler: Handler, content: bytes, _first: int) -> None:
    """Ignore the range."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def other_range(handler: Handler, content: bytes, first: int) -> None:
    """Answer with bytes that begin elsewhere."""
    handler.send_range(content, first + 1, handler.asked[1])


def other_total(handler: Handler, content: bytes, first: int) -> None:
    """The file has another size by now."""
    handler.send_range(content, first, handler.asked[1], total=str(len(content) + 5))


def shorter(handler: Handler, content: bytes, first: int) -> None:
    """Answer, correctly in form, with half of what was asked for."""
    last = min(handler.asked[1], len(content) - 1)
    handler.send_range(content, first, (first + last) // 2)


def spoilt(handler: Handler, content: bytes, first: int) -> None:
    """Change bytes on the way, from some way on."""
    piece = bytearray(content[first : handler.asked[1] + 1])
    piece[len(piece) // 3 : len(piece) // 3 + 64] = bytes(len(piece[len(piece) // 3 : len(piece) // 3 + 64]))
    handler.send_range(content, first, handler.asked[1], body=bytes(piece))


def garbled(handler: Handler, content: bytes, first: int) -> None:
    """Send something else, from the first byte on."""
    piece = content[first : handler.asked[1] + 1]
    handler.send_range(content, first, handler.asked[1], body=bytes(255 - byte for byte in piece[:64]) + piece[64:])


def good(handler: Handler, content: bytes, first: int) -> None:
    """Answer as one should."""
    handler.send_range(content, first, handler.asked[1])


def redirect(to: str) -> Fault:
    """Send elsewhere."""
    return status(302, Location=to)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server of the files in `folder`."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
