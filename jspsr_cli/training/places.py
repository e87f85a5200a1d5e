"""Where samples come from: candidates, and how their layers are opened and aligned."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.guides import GUIDES, Stretch
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers, open_dem
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.types import FloatArray

# Ground metres of the paper's samples, and the pixels that the network sees of one at least.
SAMPLE_METRES, WINDOW = 1000.0, 128

HEIGHT_LAYERS = (TRUTH, *DEM_LAYERS)
KIND_OF_LAYER = {layer: kind for kind, layer in GUIDE_LAYERS.items()}

#: layers of a sample one after another: name and aligned pixels (bands, rows, columns), NaN for voids
Aligned = Iterator[tuple[str, FloatArray]]


@dataclass(frozen=True)
class Candidate:
    """A sample that may come to be. `read` gives its grid and layers; `missing` are layers that it lacks.

    `inside` says whether it lies wholly in what the inputs share.
    """

    city: str
    id: str
    made_of: str
    missing: tuple[str, ...]
    read: Callable[[], tuple[Grid, Aligned]]
    inside: bool = True


@dataclass(frozen=True, kw_only=True)
class Place:
    """Candidates and what they are made of: `made_of` decides their pixels, `bad` are files that are left out."""

    name: str
    dataset: str
    side: int
    layers: tuple[str, ...]
    cities: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    made_of: dict[str, str]
    bad: tuple[str, ...]
    licences: tuple[str, ...]
    attributions: tuple[str, ...]
    datums: str
    warnings: tuple[str, ...]


def side_of(resolution: float, size: int | None) -> int:
    """Pixels a side of a sample: 1 km as in the paper (334 at 3 m), and what the network sees at least (128 at 8 m)."""
    return size or max(WINDOW, -int(-SAMPLE_METRES // resolution))


def open_files(layer: str, paths: Sequence[str], bands: Sequence[int] | None) -> tuple[RasterFile, ...]:
    """Open files as what `layer` holds; `bands` are those of an image. Raises as `enhance` does for its inputs."""
    if layer in HEIGHT_LAYERS:
        return open_dem(paths)
    return GUIDES[KIND_OF_LAYER[layer]].open(paths, bands)


def aligned_layer(
    layer: str, files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader, stretch: Stretch
) -> AlignedLayer:
    """Files of `layer` on `grid`, as `enhance` aligns its inputs."""
    if layer in HEIGHT_LAYERS:
        return HeightLayers(files, grid, reader=reader, water=False).heights
    return GUIDES[KIND_OF_LAYER[layer]].layer(files, grid, reader, stretch)


def state_of(path: str) -> str:
    """What changes with the content of a local file: its name, size and time."""
    try:
        status = os.stat(path)
    except OSError:  # a URL
        return path
    return f"{Path(path).name} of {status.st_size} bytes and {status.st_mtime_ns}"
