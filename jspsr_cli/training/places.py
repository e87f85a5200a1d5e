"""Places that samples come from: which there may be, of which files, and how these are seen on the samples' pixels."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jspsr_cli.errors import NoOverlap, ReadFailed
from jspsr_cli.guides import GUIDES, Stretch
from jspsr_cli.provenance import inherited_tags, name_tag
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.boxes import intersect, intersect_lonlat
from jspsr_cli.raster.grid import Grid, project_bounds
from jspsr_cli.raster.inputs import HeightLayers, open_dem
from jspsr_cli.raster.products import LICENCE_TAG, joined
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, short_name
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.datums import Datums
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.types import Bounds, FloatArray

# What is derived from these layers inherits their licence, whatever the files are called that they are made of.
SHARE_ALIKE = {
    "FABDEM": "CC BY-NC-SA 4.0, inherited from FABDEM",
    "FATHOM": "CC BY-NC-SA 4.0, inherited from FathomDEM",
}

# Ground metres of the paper's samples, and the pixels that the network sees of one at least.
SAMPLE_METRES, WINDOW = 1000.0, 128

# Pixels beside a place that bicubic interpolation looks at.
KERNEL = 2

HEIGHT_LAYERS = (TRUTH, *DEM_LAYERS)
LAYERS = (*HEIGHT_LAYERS, *GUIDE_LAYERS.values())
KIND_OF_LAYER = {layer: kind for kind, layer in GUIDE_LAYERS.items()}

# What the tags of a layer call its input, for guides as those of `enhance` do.
ROLE_OF_LAYER = {TRUTH: "terrain", **dict.fromkeys(DEM_LAYERS, "dem"), **KIND_OF_LAYER}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What one sample is made of, by layer: `files`, and how they lie on pixels.

    The sample's `grid` begins at `row`, `col` of the one that `aligned` is on.
    """

    grid: Grid
    files: Mapping[str, Sequence[RasterFile]]
    aligned: Mapping[str, AlignedLayer]
    datums: Datums
    row: int = 0
    col: int = 0

    def pixels(self) -> Iterator[tuple[str, FloatArray]]:
        """Each layer with its pixels (bands, rows, columns), NaN for voids; the truth is in the datum of the DEM.

        Raises:
            ReadFailed, TransformFailed: a file broke off; PROJ could not go on.
        """
        for layer, aligned in self.aligned.items():
            try:
                values = aligned.read(self.row, self.col, self.grid.height, self.grid.width)
            except ReadFailed as error:
                if len(self.files[layer]) == 1:
                    error.path = self.files[layer][0].path
                raise
            yield layer, self.datums.changed(values, self.grid) if layer == TRUTH else values

    def tags(self, layer: str) -> dict[str, str]:
        """Names of the files that `layer` is made of here, and what it inherits from them."""
        files = files_under(self.files[layer], self.grid)
        tags = name_tag(ROLE_OF_LAYER[layer], files) | inherited_tags(files)
        if layer in SHARE_ALIKE and layer not in tags.get(LICENCE_TAG, ""):
            tags[LICENCE_TAG] = joined([tags.get(LICENCE_TAG, ""), SHARE_ALIKE[layer]])
        return tags | (self.datums.tags(layer, files) if layer in HEIGHT_LAYERS else {})


@dataclass(frozen=True)
class Candidate:
    """A sample that may come to be. `missing` are layers that it lacks; `open` raises InputError for bad files.

    `made_of` changes with its files. `inside` says whether it lies wholly in what the inputs share.
    """

    city: str
    id: str
    made_of: str
    missing: tuple[str, ...]
    open: Callable[[], Sources]
    inside: bool = True


@dataclass(frozen=True, kw_only=True)
class Place:
    """Candidates and what they are made of: `made_of` decides their pixels, `bad` are files that are left out.

    `dem` is the layer that is compared with the terrain; `used` are the options among `made_of` that
    the tags of samples name.
    """

    name: str
    dataset: str
    side: int
    layers: tuple[str, ...]
    dem: str
    cities: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    used: dict[str, object]
    made_of: dict[str, str]
    bad: tuple[str, ...]
    datums: Datums
    warnings: tuple[str, ...]


def dem_of(layers: Collection[str]) -> str | None:
    """The layer that is compared with the terrain, if there is one."""
    return next((layer for layer in DEM_LAYERS if layer in layers), None)


def needed(layers: Collection[str]) -> tuple[str, ...]:
    """Those of `layers` that every sample has; further elevation models may be missing."""
    return tuple(layer for layer in layers if layer not in DEM_LAYERS or layer == dem_of(layers))


def side_of(resolution: float, size: int | None) -> int:
    """Pixels a side of a sample: 1 km as in the paper (334 at 3 m), and what the network sees at least (128 at 8 m)."""
    return size or max(WINDOW, -int(-SAMPLE_METRES // resolution))


def open_files(layer: str, paths: Sequence[str], bands: Sequence[int] | None) -> tuple[RasterFile, ...]:
    """Open files as what `layer` holds; `bands` are those of an image. Raises as `enhance` does for its inputs."""
    if layer in HEIGHT_LAYERS:
        return open_dem(paths)
    return GUIDES[KIND_OF_LAYER[layer]].open(paths, bands)


def aligned_layers(
    files: Mapping[str, Sequence[RasterFile]], grid: Grid, *, reader: RasterReader, stretch: Stretch
) -> dict[str, AlignedLayer]:
    """Files by layer on `grid`, as `enhance` aligns its inputs."""
    return {
        layer: HeightLayers(group, grid, reader=reader, water=False).heights
        if layer in HEIGHT_LAYERS
        else GUIDES[KIND_OF_LAYER[layer]].layer(group, grid, reader, stretch)
        for layer, group in files.items()
    }


def files_under(files: Sequence[RasterFile], grid: Grid) -> list[RasterFile]:
    """Those of `files` that pixels of `grid` are made of."""
    boxes: dict[object, Bounds] = {}
    for crs in {file.crs for file in files}:
        with suppress(NoOverlap):
            boxes[crs] = project_bounds(grid.bounds, grid.crs, crs)
    return [file for file in files if file.crs in boxes and _meets(file, boxes[file.crs])]


def _meets(file: RasterFile, box: Bounds) -> bool:
    west, south, east, north = file.bounds
    across, down = KERNEL * (east - west) / file.width, KERNEL * (north - south) / file.height
    around = (west - across, south - down, east + across, north + down)
    return (intersect_lonlat if file.crs.is_geographic else intersect)([around, box]) is not None


def state_of(path: str) -> str:
    """What changes with the content of a local file, or with the address of another one, which may hold a password."""
    try:
        status = os.stat(path)
    except OSError:  # a URL
        return f"{short_name(path)} at {hashlib.sha256(path.encode()).hexdigest()[:12]}"
    changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(" ")
    return f"{Path(path).name}, {status.st_size} bytes of {changed}"
