"""The tiles of GLO-30 and GLO-90 at one address, and their list."""

from contextlib import suppress
from typing import NamedTuple

from rasterio.windows import Window

from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.index import Index, format_runs, kept_index, parse_names, shipped_index
from jspsr_cli.fetch.pieces import RemoteCog
from jspsr_cli.fetch.request import COPERNICUS_ORIGIN
from jspsr_cli.fetch.store import Store, check_tile
from jspsr_cli.fetch.tiles import GLO90, NativeWindow, Part, columns_per_degree, tile_window
from jspsr_models.files import appearing

# The public list has 1.1 MB.
LONGEST_LIST = 16 * 2**20


class Job(NamedTuple):
    """A part of a window that a tile is fetched for."""

    window: NativeWindow
    part: Part

    @property
    def source(self) -> Window:
        """Pixels of the tile."""
        return self.part.source

    @property
    def file_name(self) -> str:
        """What the fetched pieces are called; begins as all files of unfinished work."""
        series = self.window.series
        return f"heights.{series.name}.{self.part.tile}.{self.window.row}.{self.part.col}.tif"


class Archive(Store[Job]):
    """The tiles of both series at `source`."""

    origin = COPERNICUS_ORIGIN

    def index(self, *, refresh: bool) -> Index:
        """The tiles that there are: as fetched now or earlier, else as shipped.

        Raises:
            FetchFailed, MissingTile: the list cannot be fetched.
        """
        kept = self.folder / f"tiles.{self.digest}.txt"
        if not refresh:
            return kept_index(kept) or shipped_index()
        address = f"{self.source}/tileList.txt"
        names = self.downloader.read(address, 0, LONGEST_LIST, name="The list of tiles").content
        index = parse_names(names.decode("ascii", "replace"), address=shown(address), choices=self.origin.choices)
        with suppress(OSError), appearing(kept) as part:  # what cannot be kept serves this once
            part.write_text(format_runs(index), "ascii")
        return index

    def cog(self, job: Job) -> RemoteCog:
        """The tile of `job`; GLO-90 lies beside GLO-30, and in a bucket of 90m where that is in one of 30m."""
        tile, series = job.part.tile, job.window.series
        name = tile.name(series)
        source = self.source.replace("30m", "90m") if series is GLO90 else self.source
        address = f"{source}/{name}/{name}.tif"
        grid = tile_window(tile, series, columns_per_degree(series, tile.south)).grid
        where = f"{name} ({shown(address)})"
        return RemoteCog(
            address=address,
            name=name,
            key=f"{self.digest}/{name}",
            check=lambda layout: check_tile(layout, grid, where, origin=self.origin),
        )
