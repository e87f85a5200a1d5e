"""Tiles of an archive at one address, and the pieces of them that are needed, through a cache."""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from rasterio.windows import Window

from jspsr_cli.errors import WrongTile
from jspsr_cli.fetch.cache import Cache, fetched_dir
from jspsr_cli.fetch.download import Downloader
from jspsr_cli.fetch.parallel import in_threads
from jspsr_cli.fetch.pieces import PieceReader, RemoteCog
from jspsr_cli.fetch.request import Origin
from jspsr_cli.raster.cog import CogLayout
from jspsr_cli.raster.grid import Grid, name_of
from jspsr_cli.types import Progress

# Tiles that are fetched at once: enough to fill most lines, few enough for a public server.
CONNECTIONS = 6

# Pixels by which a tile may lie beside where its name puts it, through rounding.
TOLERANCE = 1e-3

# Bytes in a gigabyte of --cache-size.
GIGABYTE = 10**9


class Wanted(Protocol):
    """What is wanted of one tile: its pixels `source`."""

    @property
    def source(self) -> Window:
        """Pixels of the tile."""

    @property
    def file_name(self) -> str:
        """What the fetched pieces are called; begins as all files of unfinished work, and is of this job alone."""


Job = TypeVar("Job", bound=Wanted)


class Store(ABC, Generic[Job]):
    """Tiles at `source`, an address without a slash at its end, behind a cache of `cache_size` gigabytes.

    Local files are not kept a second time. `origin` is the archive that `source` is, or is a mirror of.
    """

    origin: ClassVar[Origin]

    def __init__(self, source: str, *, cache_size: float) -> None:
        self.downloader = Downloader(origin=self.origin, connections=CONNECTIONS)
        self.source = source
        self.folder = fetched_dir()
        self.cache = Cache(self.folder, limit=None if source.startswith("file:") else int(cache_size * GIGABYTE))
        self._pieces = PieceReader(self.downloader, self.cache)

    @property
    def digest(self) -> str:
        """Tells this source from others in the cache."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:12]

    @abstractmethod
    def cog(self, job: Job) -> RemoteCog | None:
        """The tile of `job`; None where there is none."""

    def fetch(self, jobs: Sequence[Job], folder: Path, *, progress: Progress) -> Generator[tuple[Job, Path | None]]:
        """The pieces for each job as a file in `folder`, in the order in which they come; None where no tile is.

        Raises:
            FetchFailed, MissingTile, WrongTile: see `PieceReader.gather`; what came before is kept in the cache.
        """
        meter = _Meter(progress, total=sum(_pixels(job) for job in jobs))

        def gather(job: Job) -> Path | None:
            return self._gather(job, folder, lambda share: meter.add(share * _pixels(job)))

        yield from in_threads(gather, jobs, threads=CONNECTIONS, cancel=self.downloader.cancel)

    def refused(self, job: Job) -> WrongTile:
        """What is to be raised where the pieces for `job` cannot be decoded; they are not kept."""
        cog = self.cog(job)
        if cog is None:
            return WrongTile(f"{job.file_name} is damaged: give the same command again.")
        self._pieces.forget(cog)
        return WrongTile(f"{cog.title} is damaged: name a mirror with {self.origin.choices}.")

    def _gather(self, job: Job, folder: Path, progress: Callable[[float], None]) -> Path | None:
        target = folder / job.file_name
        try:
            cog = self.cog(job)
            if cog is None:
                progress(1)
            elif self._pieces.gather(cog, job.source, target, progress=progress):
                return target
        finally:
            self.cache.trim()
        return None


def check_tile(
    layout: CogLayout, grid: Grid, where: str, *, origin: Origin, dtypes: Sequence[str] = ("float32",)
) -> None:
    """Raise WrongTile where a file is not one band on the `grid` of the tile it is called.

    `where` and `origin` are for messages.
    """
    t = layout.transform
    far_corner = (t.c + t.a * grid.width, t.f + t.e * grid.height)
    corners = *(~grid.transform * (t.c, t.f)), *(~grid.transform * far_corner)
    drift = max(abs(v - w) for v, w in zip(corners, (0, 0, grid.width, grid.height), strict=True))
    crs = "longitude and latitude" if grid.crs.is_geographic else name_of(grid.crs)
    wrong = {
        f"has {layout.width} x {layout.height} pixels and not {grid.width} x {grid.height}":
            (layout.width, layout.height) != (grid.width, grid.height),
        f"has {layout.count} bands of {layout.dtype} and not one of {' or '.join(dtypes)}":
            layout.count != 1 or layout.dtype not in dtypes,
        f"is not in {crs}":
            layout.crs != grid.crs and (not layout.crs or layout.crs.to_epsg() != grid.crs.to_epsg()),
        "lies elsewhere": drift > TOLERANCE or (t.b, t.d) != (0, 0),
    }  # fmt: skip
    for what in filter(wrong.get, wrong):
        raise WrongTile(f"{where} {what}, so it is not what its name says: check {origin.choices}.")


class _Meter:
    """Adds up shares of work that threads have done."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0.0
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        with self._lock:
            self._done = min(self._done + amount, self._total)
            self._progress(self._done / self._total)


def _pixels(job: Wanted) -> int:
    return int(job.source.width * job.source.height)
