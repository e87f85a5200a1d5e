"""What is shown, and what of it is told."""

from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.types import Bounds


@dataclass(frozen=True)
class Shown:
    """A raster, of one file or several tiles, as a panel: of heights, or of a photo."""

    title: str
    files: tuple[RasterFile, ...]
    photo: bool = False


@dataclass(frozen=True, kw_only=True)
class Apart:
    """What a difference in metres is, of pixels as they are drawn: the first of two rasters minus the second.

    Its colours end at `-end` and `end` metres.
    """

    of: tuple[str, str]
    mean: float
    rms: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel: what it shows, and the heights in metres between which its colours lie, if it shows heights."""

    name: str
    heights: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What was drawn. `bounds` are longitude and latitude, `resolution` metres of a pixel of the panels.

    `ground` is its width and height in metres, `width` and `height` those of the picture in pixels.
    """

    output: str
    panels: tuple[Panel, ...]
    bounds: Bounds
    crs: str
    ground: tuple[float, float]
    resolution: float
    width: int
    height: int
    difference: Apart | None
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The picture in one line for people."""
        across, down = (length / 1000 for length in self.ground)
        said = [f"{Path(self.output).name}: {across:.3g} x {down:.3g} km in pixels of {self.resolution:.3g} m"]
        ranges = dict.fromkeys(panel.heights for panel in self.panels if panel.heights)
        if ranges:
            said.append("colours from " + " and ".join(f"{low:.1f} to {high:.1f} m" for low, high in ranges))
        if self.difference:
            first, second = self.difference.of
            said.append(
                f"{first} - {second}: mean {self.difference.mean:+.2f} m, RMS {self.difference.rms:.2f} m as drawn"
            )
        return ", ".join(said)
