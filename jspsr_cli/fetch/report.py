"""What a fetching command tells of its run."""

from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.types import Bounds


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What was fetched. `bounds` are in `crs`; `bytes_fetched` came over the network, the rest from the cache."""

    output: str
    crs: str
    bounds: Bounds
    width: int
    height: int
    tiles: tuple[str, ...]
    bytes_fetched: int
    already_done: bool
    seconds: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The run in one line for people."""
        if self.already_done:
            return f"{self.output} is there already, made by this command."
        tiles = f"{len(self.tiles)} tile{'s' * (len(self.tiles) != 1)}{self._beside}"
        return (
            f"{Path(self.output).name}: {self.width:,} x {self.height:,} pixels of {tiles}, "
            f"{self.bytes_fetched / 1e6:,.1f} MB fetched, {self.seconds:,.1f} s"
        )

    @property
    def _beside(self) -> str:
        """What is under the area beside tiles."""
        return ""


@dataclass(frozen=True, kw_only=True)
class FetchReport(Fetched):
    """As `Fetched`, of a DEM."""

    vertical_datum: str
    sea_tiles: int

    @property
    def _beside(self) -> str:
        return f" and {self.sea_tiles} of sea" if self.sea_tiles else ""


@dataclass(frozen=True, kw_only=True)
class CanopyReport(Fetched):
    """As `Fetched`, of canopy heights. `resolution` in metres on the ground; `missing_tiles` are not in the archive."""

    resolution: float
    missing_tiles: int

    @property
    def _beside(self) -> str:
        return f" and {self.missing_tiles} without data" if self.missing_tiles else ""
