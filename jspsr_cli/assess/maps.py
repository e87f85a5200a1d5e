"""Pictures of what was compared: hillshades, and maps of the errors; needs the extra `report`."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.image import imsave

from jspsr_cli.assess.evaluated import Offset
from jspsr_cli.assess.rasters import Rasters, moved
from jspsr_cli.pictures.colours import Colours, coloured, coloured_difference
from jspsr_cli.pictures.ground import round_length
from jspsr_cli.pictures.relief import greys, light
from jspsr_cli.pictures.views import read_view, shown_grid
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.types import FloatArray

# Pixels of a picture's longer side: three beside each other fill a page on a fine screen, and are half a megabyte.
MOST = 512

# Pixels of a picture's longer side below which its pixels are shown as squares: they are few enough to be told apart.
COARSE = 256

# Share of a picture's width that its scale bar takes at most.
BAR = 0.4

# Colours of the bar that tells what the errors are.
STEPS = 255


@dataclass(frozen=True)
class Views:
    """Heights in metres (rows, columns) on `grid`, which is coarse enough for a picture: reference and sources."""

    grid: Grid
    reference: FloatArray
    sources: dict[str, FloatArray]

    @property
    def errors(self) -> dict[str, FloatArray]:
        """Source minus reference where all have data."""
        unknown = np.isnan(np.stack([self.reference, *self.sources.values()])).any(axis=0)
        return {name: np.where(unknown, np.nan, v - self.reference) for name, v in self.sources.items()}

    @property
    def contrast(self) -> FloatArray:
        """What is worth a look: how far the prediction and the first baseline are apart, or the errors of one alone."""
        errors = list(self.errors.values())
        apart: FloatArray = errors[0] - errors[1] if len(errors) > 1 else errors[0]
        return apart


@dataclass(frozen=True)
class Picture:
    """A picture as the address of a page, of what it is."""

    name: str
    address: str


@dataclass(frozen=True)
class Maps:
    """All pictures of one size in pixels, and the metres of one; colours of the errors end at `end` metres.

    `bar` are metres of the scale bar, `key` is the picture of the colours from `-end` to `end`.
    """

    width: int
    height: int
    side: float
    bar: float
    hillshades: tuple[Picture, ...]
    errors: tuple[Picture, ...]
    end: float
    key: Picture

    @property
    def coarse(self) -> bool:
        """Whether pixels are to be seen as squares."""
        return max(self.width, self.height) < COARSE

    @property
    def shape(self) -> str:
        """How the ground lies, for the layout: `wide`, `tall` or `square`."""
        ratio = self.width / self.height
        return "wide" if ratio > 2 else "tall" if ratio < 0.5 else "square"


def read_views(rasters: Rasters, grid: Grid, *, offsets: dict[str, Offset], reader: RasterReader) -> Views:
    """All heights on the ground of `grid`, those with an offset put where the reference says. Raises ReadFailed."""
    view = shown_grid(grid, most=MOST)
    sources = {}
    for name, files in rasters.sources.items():
        offset = offsets.get(name)
        up = np.float32(offset.up if offset else 0)
        sources[name] = read_view(files, moved(view, offset), reader=reader) - up
    return Views(view, read_view(rasters.reference, view, reader=reader), sources)


def pictures_of(views: Views, *, reference: str) -> Maps:
    """Hillshades with the same greys, error maps with the same colours."""
    side = views.grid.resolution[0]
    lights = [light(heights, side) for heights in (views.reference, *views.sources.values())]
    dark, spread = greys(lights)
    shades = [coloured("gray", (lit - dark) / spread) for lit in lights]
    errors = views.errors
    stacked, end = coloured_difference(np.concatenate(list(errors.values())))  # one scale for all
    maps = np.split(stacked, len(errors))
    key, _ = coloured_difference(np.linspace(-1, 1, STEPS)[None])
    return Maps(
        width=views.grid.width,
        height=views.grid.height,
        side=side,
        bar=round_length(views.grid.width * side * BAR),
        hillshades=tuple(map(_picture, (reference, *views.sources), shades)),
        errors=tuple(map(_picture, errors, maps)),
        end=end,
        key=_picture("key", key),
    )


def _picture(name: str, colours: Colours) -> Picture:
    data = io.BytesIO()
    imsave(data, colours, format="png")
    return Picture(name, f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}")
