"""What only pixels tell of the inputs: a sample of them is looked at before the work begins.

The sample is a lattice of squares of the target grid, read through the layers of the work itself: what it finds is what
the work would meet. What lies between the squares is still met while working, and is a failure then.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
from rasterio.enums import Resampling

from jspsr_cli.errors import CoarseGuide, EmptyRaster, ReadFailed, UnreadableRaster, WrongValues
from jspsr_cli.guides import GUIDES, Stretch
from jspsr_cli.raster.align import AlignedLayer, Sampling, pixel_size
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import MAX_CANOPY, MIN_CANOPY, HeightLayers, plausible
from jspsr_cli.raster.mosaic import Mosaic, group_mosaics
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.target import MAX_RESOLUTION
from jspsr_cli.types import FloatArray

# The lattice: so many squares along each axis, from corner to corner of the grid, of so many target pixels; fewer where
# a square would have more source pixels than this along a side (a 10 cm orthophoto).
SAMPLE_PLACES, SAMPLE_SIDE, SAMPLE_SOURCE_SIDE = 4, 32, 320

# Guide pixels of more than two target pixels show no edge of anything that the network could put right.
COARSEST_GUIDE = 2.0

# A pixel of 16 m is one of 16.01 m in the next UTM zone, and is said rounded.
SIZE_SLACK = 1.01

# Values above the tallest tree are nodata without a tag where they are few: this many different ones, or this share.
SENTINELS, STRAY_SHARE = 3, 0.01

# Metres below its terrain that a surface model may lie by error.
CANOPY_NOISE = 2.0

# No forest has half its ground under trees of this height in metres.
TALLEST_FOREST = 80.0

# Metres between two elevation models of one ground at half of all pixels; to a centimetre it is one and the same.
SAME, NEAR = 0.01, 10.0

# Canopy is zero somewhere in any area, on roads, water, fields: its lowest percentile is below this (metres). On flat
# ground at sea level it can follow a DEM that saw the trees, but not by more relief than trees have.
NOWHERE_NEAR_ZERO, MORE_THAN_TREES, FOLLOWING = 5.0, 25.0, 0.9

# Fewer pixels say nothing; the sea is 0 m high, and so is what grows on it.
ENOUGH_PIXELS, SEA = 30, 1.0

# The DEMs that all known weights were trained on have pixels of 30 m, up to a third less in high latitudes.
DEM_METRES, DEM_SLACK = 30.0, 1.5


@contextmanager
def before_work() -> Iterator[None]:
    """What cannot be read before the work has begun is a wrong input, and no failure (exit code 2).

    Raises:
        UnreadableRaster: in place of ReadFailed.
    """
    try:
        yield
    except ReadFailed as error:
        raise UnreadableRaster(str(error)) from error


def check_pixels(
    dem: Sequence[RasterFile],
    guides: Mapping[str, Sequence[RasterFile]],
    grid: Grid,
    *,
    reader: RasterReader,
    stretch: Stretch,
) -> list[str]:
    """Look at pixels of all inputs under `grid`; `guides` by kind, `stretch` as for `image_layer`.

    Returns warnings of what is legitimate, and seldom meant.

    Raises:
        CoarseGuide: pixels of a guide are too large for the target's.
        EmptyRaster: an input has no valid pixel at all.
        WrongValues: a guide holds elevations, or canopy that is not in metres.
        ReadFailed: a file broke off, or holds land use of no known class.
    """
    for files in guides.values():
        _check_fine(files, grid)
    found = _unusual_dem(dem, grid)
    heights = HeightLayers(dem, grid, reader=reader, water=False).heights
    _check_data(dem, heights, _squares(heights, dem))
    if "canopy" in guides:
        found += check_canopy(guides["canopy"], dem, grid, reader)
    # Imagery is unsigned, but for what was computed of it.
    if "image" in guides and any(not file.dtype.startswith("uint") for file in guides["image"]):
        image, ground = _samples(guides["image"], dem, grid, reader)
        if any(_is_elevation(band, ground[0]) for band in image):
            raise WrongValues(f"{guides['image'][0].name} holds the heights of an elevation model: give an orthophoto.")
    for name, files in guides.items():
        layer = GUIDES[name].layer(files, grid, reader, stretch)
        squares = _squares(layer, files)
        # The first square with data will do, but for classes that are in no table.
        _check_data(files, layer, list(squares) if name == "mask" else squares)
    return found


def _unusual_dem(dem: Sequence[RasterFile], grid: Grid) -> list[str]:
    found = [
        f"{file.name} is 8 bit: make sure that it holds heights in metres, and is no hillshade"
        for file in dem
        if file.dtype == "uint8"
    ]
    for mosaic in group_mosaics(dem):
        size = pixel_size(mosaic, grid)
        if not DEM_METRES / DEM_SLACK**2 <= size <= DEM_METRES * DEM_SLACK:
            finer = ", finer than the output" * (size < min(grid.resolution))
            found.append(
                f"{mosaic.files[0].name} has pixels of {size:.3g} m{finer}: the weights know DEMs of {DEM_METRES:g} m, "
                "expect less than the published accuracy"
            )
    return found


def _check_fine(files: Sequence[RasterFile], grid: Grid) -> None:
    for file in files:
        size, target = pixel_size(Mosaic((file,)), grid), _side(grid)
        if size > COARSEST_GUIDE * target * SIZE_SLACK:
            enough = size / COARSEST_GUIDE
            coarser = f"choose --resolution {enough:.3g}, or " if enough <= MAX_RESOLUTION else ""
            raise CoarseGuide(
                f"{file.name} has pixels of {size:.3g} m, more than twice the {target:.3g} m of the output, and shows "
                f"nothing that small: {coarser}give a finer guide."
            )


def _check_data(files: Sequence[RasterFile], layer: AlignedLayer, squares: Iterable[FloatArray]) -> None:
    grid = layer.grid
    rows = (
        layer.read(row, 0, min(SAMPLE_SIDE, grid.height - row), grid.width)
        for row in range(0, grid.height, SAMPLE_SIDE)
    )
    # A file that has data in a corner only is legitimate: where the sample finds nothing, all is read.
    if any(not np.isnan(part[0]).all() for part in chain(squares, rows)):
        return
    others = f" and {len(files) - 1} more have" if len(files) > 1 else " has"
    raise EmptyRaster(
        f"{files[0].name}{others} no data at all where the output would be, every pixel is nodata, masked, transparent "
        "or out of range: check the file, or choose another area with --bounds."
    )


def check_canopy(files: Sequence[RasterFile], dem: Sequence[RasterFile], grid: Grid, reader: RasterReader) -> list[str]:
    """A doubt about canopy heights over the heights of `dem`, if there is one. Raises WrongValues, ReadFailed."""
    (canopy,), (heights,) = _samples(files, dem, grid, reader)
    canopy[canopy < MIN_CANOPY] = np.nan
    name = files[0].name
    if _is_elevation(canopy, heights):
        raise WrongValues(
            f"{name} holds the heights of an elevation model: --canopy wants heights above the ground, such as a "
            "surface model minus its terrain model."
        )
    values = canopy[~np.isnan(canopy)]
    below, above = np.count_nonzero(values < -CANOPY_NOISE), np.count_nonzero(values > CANOPY_NOISE)
    if below > max(above, STRAY_SHARE * values.size):
        raise WrongValues(
            f"{name} is mostly below zero: canopy is the surface minus its terrain, not the other way round."
        )
    tall = values[values > MAX_CANOPY]
    stray = tall.size <= STRAY_SHARE * values.size or len(np.unique(tall)) <= SENTINELS
    trees = values[values <= MAX_CANOPY] if stray else values
    if not trees.size:  # said by `_check_data`
        return []
    if not stray or np.median(trees) > TALLEST_FOREST:
        raise WrongValues(
            f"{name} holds heights up to {trees.max():.5g}, which is no canopy in metres: if it is in "
            "decimetres say so with gdal_edit.py -scale 0.1, if it is an elevation model subtract the terrain first."
        )
    near = np.count_nonzero(np.abs(canopy - heights) < NEAR)
    if near > trees.size / 2 and np.percentile(trees, 1) > NOWHERE_NEAR_ZERO:
        return [f"{name} is nowhere near 0 m but near the DEM: make sure that its heights are those above the ground"]
    return []


def check_terrain(
    terrain: Sequence[RasterFile], dem: Sequence[RasterFile], grid: Grid, *, reader: RasterReader
) -> list[str]:
    """A doubt about a terrain model that begins at 0 m far from the DEM, as canopy does. Raises ReadFailed."""
    (ground,), (heights,) = _samples(terrain, dem, grid, reader)
    known = ~np.isnan(plausible(ground)) & ~np.isnan(heights)
    ground, heights = ground[known], heights[known]
    if ground.size < ENOUGH_PIXELS or np.median(np.abs(ground - heights)) < NEAR:
        return []
    if abs(np.percentile(ground, 1)) > NOWHERE_NEAR_ZERO:
        return []
    name = terrain[0].name
    return [f"{name} begins at 0 m, far from the DEM: make sure that it holds the ground, and not what stands on it"]


def _is_elevation(values: FloatArray, heights: FloatArray) -> bool:
    """Whether `values` are elevations as `heights`, the DEM's at the same pixels, are: both (pixels,), in metres."""
    lowest = np.percentile(values[~np.isnan(values)], 1) if not np.isnan(values).all() else 0.0
    known = ~np.isnan(values) & (np.abs(heights) > SEA)
    values, heights = values[known], heights[known]
    if values.size < ENOUGH_PIXELS or values.std() == 0 or heights.std() == 0:
        return False
    distance = np.abs(values - heights)
    near = np.median(distance) < NEAR and (lowest > NOWHERE_NEAR_ZERO or heights.std() > MORE_THAN_TREES)
    follows = near and np.corrcoef(values, heights)[0, 1] > FOLLOWING
    return bool(np.median(distance) < SAME or follows)


def _samples(
    files: Sequence[RasterFile], dem: Sequence[RasterFile], grid: Grid, reader: RasterReader
) -> tuple[FloatArray, FloatArray]:
    """Values of `files` and heights of `dem` at the same pixels of `grid`: (bands, pixels), NaN = void."""

    def sample(group: Sequence[RasterFile], prepare: Callable[[FloatArray], FloatArray]) -> FloatArray:
        sampling = Sampling(Resampling.nearest, Resampling.nearest, prepare)
        layer = AlignedLayer(group_mosaics(group), grid, reader=reader, sampling=sampling)
        return np.concatenate([part.reshape(len(part), -1) for part in _squares(layer, files)], axis=1)

    return sample(files, lambda values: values), sample(dem, plausible)


def _squares(layer: AlignedLayer, files: Sequence[RasterFile]) -> Iterator[FloatArray]:
    """Squares of `layer` (bands, rows, columns); where `files` are fine they are small."""
    grid = layer.grid
    finest = min(pixel_size(mosaic, grid) for mosaic in group_mosaics(files))
    side = max(1, min(SAMPLE_SIDE, int(SAMPLE_SOURCE_SIDE * finest / _side(grid))))
    height, width = min(side, grid.height), min(side, grid.width)
    for row in np.linspace(0, grid.height - height, SAMPLE_PLACES).astype(int):
        for col in np.linspace(0, grid.width - width, SAMPLE_PLACES).astype(int):
            yield layer.read(int(row), int(col), height, width)


def _side(grid: Grid) -> float:
    return math.sqrt(grid.resolution[0] * grid.resolution[1])
