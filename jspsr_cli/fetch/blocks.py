"""FABDEM V1-2 as a lattice of pixels and as zip files of 10 by 10 degrees.

All tiles have 3600 columns per degree, whatever their latitude, and lie as those of GLO-30: posts on whole degrees.
Source: https://doi.org/10.5523/bris.s5hqmjcdj8yo2ibzi9b4ew3sn
"""

from collections.abc import Callable
from pathlib import Path

from jspsr_cli.errors import WrongTile
from jspsr_cli.fetch.archive import Job
from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.pieces import RemoteCog
from jspsr_cli.fetch.request import FABDEM_ORIGIN
from jspsr_cli.fetch.store import Store, check_tile
from jspsr_cli.fetch.tiles import ARC_SECONDS, Series, Tile, tile_window
from jspsr_cli.fetch.zipped import ZipReader

FABDEM_SERIES = Series("FABDEM", ARC_SECONDS, "")

# Degrees along a side of a block.
BLOCK = 10

VERSION = "FABDEM_V1-2"


def tile_name(tile: Tile) -> str:
    """Name of the file, with its ending."""
    return f"{tile}_{VERSION}.tif"


def block_name(tile: Tile) -> str:
    """Name of the zip file that holds `tile`: its south-west and north-east corners, the latter from -180 to 179."""
    south, west = (side // BLOCK * BLOCK for side in (tile.south, tile.west))
    corner = Tile(south + BLOCK, (west + BLOCK + 180) % 360 - 180)
    return f"{Tile(south, west)}-{corner}_{VERSION}.zip"


class Blocks(Store[Job]):
    """The tiles in the blocks at `source`."""

    origin = FABDEM_ORIGIN

    def __init__(self, source: str, *, cache_size: float) -> None:
        super().__init__(source, cache_size=cache_size)
        self._zips = ZipReader(self.downloader, self.cache)

    def look_anew(self, tile: Tile) -> None:
        """Let the directory of the block of `tile` be read again."""
        self._zips.forget(self._key(block_name(tile)))

    def cog(self, job: Job) -> RemoteCog | None:
        """The tile of `job` in its block; None where there is none."""
        tile, block = job.part.tile, block_name(job.part.tile)
        name, address = tile_name(tile), f"{self.source}/{block}"
        inside = self._zips.find(address, name, key=self._key(block))
        if inside is None:
            return None
        grid = tile_window(tile, FABDEM_SERIES, ARC_SECONDS).grid
        where = f"{name} ({shown(address)})"
        return RemoteCog(
            address=address,
            name=name,
            key=f"{self.digest}/{name}.{inside.first}.{inside.total}",  # of this version of the block
            check=lambda layout: check_tile(layout, grid, where, origin=self.origin),
            inside=inside,
        )

    def _gather(self, job: Job, folder: Path, progress: Callable[[float], None]) -> Path | None:
        try:
            return super()._gather(job, folder, progress)
        except WrongTile:  # perhaps since the block was replaced after its directory was kept
            self._zips.forget(self._key(block_name(job.part.tile)))
            return super()._gather(job, folder, progress)

    def _key(self, block: str) -> str:
        return f"{self.digest}/{block}"
