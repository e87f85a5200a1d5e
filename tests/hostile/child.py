"""A process of its own that meets mutants: `python -m tests.hostile.child FOLDER KIND,... SEED FIRST LAST`.

A kind is one of `SEEDS`, which the library meets, or one of `COMMANDS`.

One that breaks the interpreter breaks this process only, and the last line of its log names it. Memory beyond 2 GB is
refused by the system, and a mutant that takes over 30 s of work ends the process. What is wrong is written to stdout.
"""

import faulthandler
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import rasterio
from rasterio.windows import Window

import jspsr_cli.fetch.download as download
from jspsr_cli.errors import JspsrError
from jspsr_cli.fetch.copernicus import fetch_copernicus
from jspsr_cli.fetch.fabdem import fetch_fabdem
from jspsr_cli.fetch.request import COPERNICUS_ORIGIN, FabdemOptions, FetchOptions
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import WGS84, project_bounds
from jspsr_cli.raster.polygons import read_area
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.training.reading import read_config
from jspsr_models import WeightsError, load_network
from tests.fetch.archive import tile_name
from tests.hostile import commands
from tests.hostile.commands import COMMANDS
from tests.hostile.mutants import SEEDS, mutant

#: seconds of work (on a busy machine a clock on the wall says nothing), and by the clock, where it waits for something
SECONDS, WAITING, MEMORY = 30, 300, 2 * 2**30

#: pixels that are read of a raster: as many as a window needs
SIDE = 256

BOX = (9.1, 45.1, 9.101, 45.101)


def raster(path: Path) -> None:
    """What every command does with a raster, and its pixels at two corners and in little."""
    file = inspect_raster(str(path))
    file = file.with_bands(file.bands[:3])  # as many as any command reads of one that it has not counted
    project_bounds(file.bounds, file.crs, WGS84)
    width, height = min(SIDE, file.width), min(SIDE, file.height)
    with RasterReader() as reader:
        reader.read(file, Window(0, 0, width, height))
        reader.read(file, Window(file.width - width, file.height - height, width, height))
        if file.width * file.height <= SIDE**2 * 64:
            reader.sample(file, 64)


def zipped(path: Path) -> None:
    path.replace(path.with_name("N40E000-N50E010_FABDEM_V1-2.zip"))
    options = FabdemOptions(buffer=0, source=str(path.parent), cache_size=0, overwrite=True)
    fetch_fabdem(path.with_name("out.tif"), bounds=BOX, options=options)


def tile(path: Path) -> None:
    place = path.parent / tile_name(45, 9)
    place.mkdir(exist_ok=True)
    path.replace(place / f"{tile_name(45, 9)}.tif")
    options = FetchOptions(buffer=0, source=str(path.parent), cache_size=0, overwrite=True)
    fetch_copernicus(path.with_name("out.tif"), bounds=BOX, options=options)


def answer(path: Path) -> None:
    """An answer of a server, byte for byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        done = threading.Event()
        thread = threading.Thread(target=_answer, args=(listener, path.read_bytes(), done))
        thread.start()
        loader = download.Downloader(origin=COPERNICUS_ORIGIN, connections=1)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        try:
            piece = loader.read(address, 0, 16, name="x")
            assert len(piece.content) <= 16
        finally:
            done.set()
            thread.join()


def stay_here() -> None:
    """Look up no address but this machine's: a redirect may lead to any."""
    look_up = socket.getaddrinfo

    def local(host: Any, *more: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "not looked up")
        return look_up(host, *more, **options)

    socket.getaddrinfo = local


def _answer(listener: socket.socket, content: bytes, done: threading.Event) -> None:
    while not done.is_set():
        with suppress(OSError):  # nobody asks, or who asked is gone
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1)
                connection.recv(4096)
                connection.sendall(content)


MEETINGS: dict[str, Callable[[Path], Any]] = {
    "tif": raster, "dem": raster, "dtm": raster, "canopy": raster,
    "pt": load_network, "legacy": load_network, "safetensors": load_network,
    "yaml": read_config, "geojson": lambda path: read_area(str(path)), "zip": zipped, "tile": tile, "answer": answer,
    "redirect": answer,
}  # fmt: skip

ENDINGS = {"dem": "tif", "dtm": "tif", "canopy": "tif", "legacy": "pt", "tile": "tif"}


@dataclass
class Kind:
    """Mutants of one kind and who meets them: a function of the library, or a command."""

    folder: Path
    seed: bytes
    name: str
    meeting: Callable[[Path], Any]

    @classmethod
    def of(cls, name: str, root: Path) -> "Kind":
        folder = root / name.replace(" ", "_")
        folder.mkdir()
        kind = COMMANDS[name][0] if name in COMMANDS else name
        seed = SEEDS[kind](folder)
        meeting = commands.meeting(name, folder, SEEDS["dtm"](folder)) if name in COMMANDS else MEETINGS[name]
        return cls(folder, seed, f"mutant.{ENDINGS.get(kind, kind)}", meeting)

    def begin(self) -> None:
        """Let a command meet the file that is no mutant, before memory is counted: it loads what it needs."""
        os.chdir(self.folder)
        path = self.folder / self.name
        path.write_bytes(self.seed)
        if why := self.meeting(path):
            raise commands.Wrong(f"{self.folder.name} refuses the file that is no mutant: {why}")


@contextmanager
def no_writing_outside(folder: Path) -> Iterator[list[str]]:
    """Names of files that Python is asked to write beyond `folder`, while the block runs."""
    found: list[str] = []
    allowed = (str(folder), "/dev/null", "/proc/")
    watching = True

    def look(event: str, details: tuple[Any, ...]) -> None:
        if not watching or event not in ("open", "os.rename", "os.mkdir", "os.remove"):
            return
        path, mode, flags = details if event == "open" else (details[0], "w", 0)
        writes = set(mode) & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and isinstance(path, str | os.PathLike) and not os.path.abspath(path).startswith(allowed):
            found.append(f"{event} {path}")

    sys.addaudithook(look)
    yield found
    watching = False


def meet(kind: Kind, path: Path) -> tuple[bool, str]:
    """Whether `path` was taken, and what is wrong with how; that is empty also where a sentence refused it."""
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            refused = kind.meeting(path)
    except (JspsrError, WeightsError) as error:
        said = str(error)
        return False, "" if said.strip() and len(said) < 2000 else f"says {said[:100]!r} in {len(said)} characters"
    except BaseException as error:
        return False, f"{type(error).__name__}: {error!s:.900}"
    return not isinstance(refused, str) or not refused, ""


def main(root: Path, names: list[str], seed: int, first: int, last: int) -> int:
    """Meet the mutants from `first` to before `last` of each kind; returns whether any was met wrongly."""
    os.environ.update(JSPSR_CACHE=str(root / "cache"), TMPDIR=str(root / "temporary"), no_proxy="*")
    (root / "temporary").mkdir()
    tempfile.tempdir = None  # looks again
    stay_here()
    download.FIRST_WAIT, download.READ_TIMEOUT, download.ATTEMPTS = 0.001, 2.0, 2
    if set(names) & set(COMMANDS):
        commands.shared(root)
    kinds = {name: Kind.of(name, root) for name in names}
    for name, kind in kinds.items():
        if name in COMMANDS:
            kind.begin()
    known = os.listdir(root / "temporary")  # torch makes an empty folder there
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)  # which then ends the process
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    taken = wrong = 0
    with no_writing_outside(root) as outside:
        for (name, kind), number in product(kinds.items(), range(first, last)):
            os.chdir(kind.folder)
            path = kind.folder / kind.name
            path.write_bytes(mutant(kind.seed, random.Random(f"{name} {seed} {number}")))
            (root / "log").write_text(f"{name} {seed} {number}\n")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            faulthandler.dump_traceback_later(WAITING, exit=True)
            was_taken, fault = meet(kind, path)
            taken += was_taken
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_PROF, 0)
            if outside:
                fault, outside[:] = f"{fault} wrote outside: {outside}", []
            if left := sorted({*os.listdir(root / "temporary")} - {*known}):
                fault = f"{fault} left temporary files: {left}"
            if fault:
                wrong += 1
                print(f"{name} {seed} {number}: {fault}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"peak {peak} MB, {taken} of {len(kinds) * (last - first)} taken", flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2].split(","), *map(int, sys.argv[3:6])))
