"""The tiles of GLO-30 and GLO-90 at one address: their list, and the pieces of them that are needed."""

import hashlib
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jspsr_cli.errors import WrongTile
from jspsr_cli.fetch.cache import Cache, fetched_dir
from jspsr_cli.fetch.download import Downloader, shown
from jspsr_cli.fetch.index import Index, format_runs, kept_index, parse_names, shipped_index
from jspsr_cli.fetch.parallel import in_threads
from jspsr_cli.fetch.pieces import PieceReader, RemoteCog
from jspsr_cli.fetch.tiles import GLO90, NativeWindow, Part, Series, Tile, columns_per_degree
from jspsr_cli.raster.cog import CogLayout
from jspsr_cli.raster.grid import WGS84
from jspsr_cli.types import Progress
from jspsr_models.files import appearing

# Tiles that are fetched at once: enough to fill most lines, few enough for a public server.
CONNECTIONS = 6

# The public list has 1.1 MB.
LONGEST_LIST = 16 * 2**20

# Pixels by which a tile may lie beside where its name puts it, through rounding.
TOLERANCE = 1e-3

# Bytes in a gigabyte of --cache-size.
GIGABYTE = 10**9


class Job(NamedTuple):
    """A part of a window that a tile is fetched for."""

    window: NativeWindow
    part: Part

    @property
    def pixels(self) -> int:
        """How many there are."""
        return int(self.part.source.width * self.part.source.height)

    @property
    def file_name(self) -> str:
        """What the fetched pieces are called; begins as all files of unfinished work."""
        return f"heights.{self.part.tile.name(self.window.series)}.{self.window.row}.{self.part.col}.tif"


class Archive:
    """Tiles at `source`, an address without a slash at its end, behind a cache of `cache_size` gigabytes.

    Local files are not kept a second time.
    """

    def __init__(self, source: str, *, cache_size: float) -> None:
        self.downloader = Downloader(connections=CONNECTIONS)
        self._source = source
        limit = 0 if source.startswith("file:") else int(cache_size * GIGABYTE)
        self._folder = fetched_dir()
        self._cache = Cache(self._folder, limit=limit)
        self._pieces = PieceReader(self.downloader, self._cache)

    def index(self, *, refresh: bool) -> Index:
        """The tiles that there are: as fetched now or earlier, else as shipped.

        Raises:
            FetchFailed, MissingTile: the list cannot be fetched.
        """
        kept = self._folder / f"tiles.{_digest(self._source)}.txt"
        if not refresh:
            return kept_index(kept) or shipped_index()
        address = f"{self._source}/tileList.txt"
        names = self.downloader.read(address, 0, LONGEST_LIST, name="The list of tiles").content
        index = parse_names(names.decode("ascii", "replace"), address=shown(address))
        with suppress(OSError), appearing(kept) as part:  # what cannot be kept serves this once
            part.write_text(format_runs(index), "ascii")
        return index

    def fetch(self, jobs: Sequence[Job], folder: Path, *, progress: Progress) -> Generator[tuple[Job, Path]]:
        """The pieces for each job as a file in `folder`, in the order in which they come.

        Raises:
            FetchFailed, MissingTile, WrongTile: see `PieceReader.gather`; what came before is kept in the cache.
        """
        meter = _Meter(progress, total=sum(job.pixels for job in jobs))

        def gather(job: Job) -> Path:
            return self._gather(job, folder, lambda share: meter.add(share * job.pixels))

        yield from in_threads(gather, jobs, threads=CONNECTIONS, cancel=self.downloader.cancel)

    def refused(self, job: Job) -> WrongTile:
        """What is to be raised where the pieces for `job` cannot be decoded; they are not kept."""
        cog = self._cog(job)
        self._pieces.forget(cog)
        return WrongTile(f"{cog.title} is damaged: fetch from a mirror with --source.")

    def _address(self, job: Job) -> str:
        """Where the tile of `job` lies; GLO-90 beside GLO-30, and in a bucket of 90m where that is in one of 30m."""
        name, source = job.part.tile.name(job.window.series), self._source
        if job.window.series is GLO90:
            source = source.replace("30m", "90m")
        return f"{source}/{name}/{name}.tif"

    def _cog(self, job: Job) -> RemoteCog:
        tile, series = job.part.tile, job.window.series
        name, address = tile.name(series), self._address(job)
        where = f"{name} ({shown(address)})"

        def check(layout: CogLayout) -> None:
            check_tile(layout, tile, series, where)

        return RemoteCog(address=address, name=name, key=f"{_digest(self._source)}/{name}", check=check)

    def _gather(self, job: Job, folder: Path, progress: Callable[[float], None]) -> Path:
        target = folder / job.file_name
        try:
            self._pieces.gather(self._cog(job), job.part.source, target, progress=progress)
        finally:
            self._cache.trim()
        return target


def check_tile(layout: CogLayout, tile: Tile, series: Series, where: str) -> None:
    """Raise WrongTile where a file is not the tile that it is called; `where` is for the message."""
    columns = columns_per_degree(series, tile.south)
    expected = NativeWindow(series, columns, (89 - tile.south) * series.rows, tile.west * columns, series.rows, columns)
    grid = expected.grid
    t = layout.transform
    far_corner = (t.c + t.a * grid.width, t.f + t.e * grid.height)
    corners = *(~grid.transform * (t.c, t.f)), *(~grid.transform * far_corner)
    drift = max(abs(v - w) for v, w in zip(corners, (0, 0, grid.width, grid.height), strict=True))
    wrong = {
        f"has {layout.width} x {layout.height} pixels and not {grid.width} x {grid.height}":
            (layout.width, layout.height) != (grid.width, grid.height),
        f"has {layout.count} bands of {layout.dtype} and not one of float32":
            (layout.count, layout.dtype) != (1, "float32"),
        "is not in longitude and latitude": layout.crs != WGS84,
        "lies elsewhere": drift > TOLERANCE or (t.b, t.d) != (0, 0),
    }  # fmt: skip
    for what in filter(wrong.get, wrong):
        raise WrongTile(f"{where} {what}, so it is not what its name says: check --source.")


class _Meter:
    """Adds up shares of work that threads have done."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0.0
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        with self._lock:
            self._done = min(self._done + amount, self._total)
            self._progress(self._done / self._total)


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]
