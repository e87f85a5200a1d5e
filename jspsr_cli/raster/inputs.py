"""The four kinds of input as layers on the target grid: DEM, image (orthophoto), land use, canopy height."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from rasterio.enums import Resampling

from jspsr_cli.errors import EmptyRaster, WrongBands
from jspsr_cli.raster.align import AlignedLayer, Sampling, pixel_size
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.landuse import CLASS_COUNT, classes_of, classes_of_stack
from jspsr_cli.raster.mosaic import Mosaic, group_mosaics
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, inspect_raster, stack_bands, with_overview
from jspsr_cli.raster.units import canopy_in_metres, elevation_in_metres
from jspsr_cli.raster.water import WaterLayer, flat_water, quantum
from jspsr_cli.scaling import IMAGE_MAX
from jspsr_cli.types import BoolArray, FloatArray

# Outside these heights in metres lies no land: what a file without a nodata tag holds there is a void. The
# shore of the Dead Sea is at -430, the deepest open-pit mine above -600, Everest at 8849.
MIN_HEIGHT, MAX_HEIGHT = -1000.0, 9000.0

# Outside these heights in metres lies no canopy, but nodata without a tag: 255, -9999, 65535. The tallest tree is 116;
# noise of a surface model under its terrain stays above -100.
MIN_CANOPY, MAX_CANOPY = -100.0, 150.0

# Imagery is unsigned; a band of these types is more likely one of heights.
HEIGHT_TYPES = ("int16", "int32", "float32", "float64")

# Percentiles that imagery of more than 8 bit is stretched between, as is usual for display.
STRETCH_PERCENTILES = (2.0, 98.0)

# Side of the square that all decimated images together would fill, from which the percentiles are taken.
STRETCH_SAMPLE = 1024

# An overview may stand in for the full resolution while this many of its pixels still fit into a target pixel's
# side, so that averaging has something to average.
OVERVIEW_PIXELS = 2


def open_dem(paths: Sequence[str]) -> tuple[RasterFile, ...]:
    """Elevation models of one band each, in metres.

    Raises:
        UnreadableRaster, MissingCRS: see `inspect_raster`.
        WrongBands: more than one band, or a picture of heights.
        NotHeights: the unit is no length, or there are two.
    """
    files = tuple(_single_band(path, "an elevation model") for path in paths)
    for file in files:
        if "palette" in file.colours:
            raise WrongBands(f"{file.path} has a colour table, so it is a picture: give the heights themselves.")
    return tuple(elevation_in_metres(file) for file in files)


def open_canopy(paths: Sequence[str]) -> tuple[RasterFile, ...]:
    """Canopy height models of one band each, in metres. Raises as `open_dem`."""
    return tuple(canopy_in_metres(_single_band(path, "a canopy height model")) for path in paths)


def _single_band(path: str, role: str) -> RasterFile:
    file = inspect_raster(path)
    if len(file.bands) != 1:
        remedy = "did you swap it with the guide?" if len(file.bands) >= 3 else "take one out with gdal_translate -b N."
        raise WrongBands(f"{path} has {len(file.bands)} bands, and {role} has one: {remedy}")
    return file


def open_land_use(paths: Sequence[str]) -> tuple[RasterFile, ...]:
    """Land use as one band of codes, or as the stack of 15 one-hot bands. Raises as `open_dem`.

    Where 0 is tagged as nodata it is still a class of the table, "no information", and not a gap.
    """
    files = tuple(inspect_raster(path).unscaled() for path in paths)
    for file in files:
        if len(file.bands) not in (1, CLASS_COUNT):
            raise WrongBands(
                f"{file.path} has {len(file.bands)} bands: land use is one band of classes, or {CLASS_COUNT} bands "
                "of one class each."
            )
    if len({len(file.bands) for file in files}) > 1:
        raise WrongBands("The land use files mix one band of classes with one band a class: use one form.")
    return tuple(file.without_nodata() if set(file.nodata) == {0.0} else file for file in files)


def open_image(paths: Sequence[str], *, bands: Sequence[int] | None = None) -> tuple[RasterFile, ...]:
    """Orthophotos reading red, green and blue: `bands` (1-based), else by colour, else the first three.

    Three or more files of one band each on the same pixels are one image, in the order given.

    Raises:
        UnreadableRaster, MissingCRS: see `inspect_raster`.
        WrongBands: no three bands, or `bands` that do not exist.
    """
    files = [inspect_raster(path).unscaled() for path in paths]
    if len(files) >= 3 and all(len(file.bands) == 1 for file in files):
        files = [stack_bands(files)]
    return tuple(file.with_bands(_rgb_bands(file, bands)) for file in files)


def _rgb_bands(file: RasterFile, bands: Sequence[int] | None) -> Sequence[int]:
    if bands is not None:
        if len(bands) != 3 or max(bands) > file.count:
            raise WrongBands(
                "--guide-bands takes three bands, those of red, green and blue; "
                f"{file.name} has bands 1 to {file.count}."
            )
        return bands
    if not file.stack and {"red", "green", "blue"} <= set(file.colours):
        return [file.colours.index(colour) + 1 for colour in ("red", "green", "blue")]
    if "palette" in file.colours:
        raise WrongBands(f"{file.path} has a colour table: make three bands of it with gdal_translate -expand rgb.")
    if len(file.bands) < 3:
        like = f" of {file.dtype}, as elevation models have" if file.dtype in HEIGHT_TYPES else ""
        raise WrongBands(
            f"{file.path} has {len(file.bands)} band{'s' * (len(file.bands) > 1)}{like}: the weights want red, green "
            "and blue, in one file or as three files of one band each."
        )
    return file.bands[:3]


def image_stretch(files: Sequence[RasterFile], reader: RasterReader) -> tuple[float, float] | None:
    """Values that become 0 and 255 of imagery that is not 8 bit, or None where all of it is.

    The percentiles of the whole of all files and bands, so that every window and every run has the same.

    Raises:
        EmptyRaster: no pixel has data.
        ReadFailed: a file broke off.
    """
    if all(file.dtype == "uint8" for file in files):
        return None
    side = max(1, int(STRETCH_SAMPLE / math.sqrt(len(files))))
    pooled = np.concatenate([reader.sample(file, side).ravel() for file in files])
    if pooled.size == 0:
        raise EmptyRaster(
            f"{files[0].name} has no data at all, every pixel is nodata, masked or transparent: check the file."
        )
    low, high = (float(v) for v in np.percentile(pooled, STRETCH_PERCENTILES))
    return (low, high) if high > low else (low, low + 1)


class HeightLayers:
    """The DEM on the target grid in metres, and the water that it holds as exactly flat.

    `heights.read` gives (1, rows, columns), and `water.read`, where `water` is asked for, (2, rows, columns): the level
    of flat water in and around it, and how far it reaches. `notes` says what was found on the way.
    """

    def __init__(self, files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader, water: bool) -> None:
        self.notes: set[str] = set()
        self.water: WaterLayer | None = None
        mosaics = group_mosaics(files)

        def layer(finer: Resampling, coarser: Resampling, prepare: Callable[[FloatArray], FloatArray]) -> AlignedLayer:
            return AlignedLayer(mosaics, grid, reader=reader, sampling=Sampling(finer, coarser, prepare))

        self.heights = layer(Resampling.average, Resampling.cubic, self._noted)
        step = quantum(files, reader) if water else None
        if step:
            self.notes.add(
                f"the DEM is rounded to {step:g} m, so flat water cannot be told from level ground: "
                "all of it was left to the network"
            )
        elif water:
            self.water = WaterLayer(
                level=layer(Resampling.nearest, Resampling.nearest, lambda z: flat_water(plausible(z)[0])[0][None]),
                share=layer(Resampling.average, Resampling.bilinear, lambda z: flat_water(plausible(z)[0])[1][None]),
            )

    def _noted(self, heights: FloatArray) -> FloatArray:
        if implausible(heights).any():
            self.notes.add(f"heights outside {MIN_HEIGHT:g} to {MAX_HEIGHT:g} m in the DEM were taken as voids")
        return plausible(heights)


def implausible(heights: FloatArray) -> BoolArray:
    """Where no land can be that high or low: nodata values without a tag."""
    strange: BoolArray = (heights < MIN_HEIGHT) | (heights > MAX_HEIGHT)
    return strange


def plausible(heights: FloatArray) -> FloatArray:
    """Heights in metres with the implausible ones void."""
    result: FloatArray = np.where(implausible(heights), np.float32(np.nan), heights)
    return result


def image_layer(
    files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader, stretch: tuple[float, float] | None
) -> AlignedLayer:
    """Red, green, blue (3, rows, columns) from 0 to 255, `stretch` values becoming the two ends."""
    low, high = stretch or (0.0, IMAGE_MAX)

    def stretched(values: FloatArray) -> FloatArray:
        if stretch is None:
            return values
        scaled: FloatArray = np.clip((values - np.float32(low)) * np.float32(IMAGE_MAX / (high - low)), 0, IMAGE_MAX)
        return scaled

    target = min(grid.resolution)
    files = [
        with_overview(f, pixel_size=pixel_size(Mosaic((f,)), grid), at_most=target / OVERVIEW_PIXELS) for f in files
    ]
    sampling = Sampling(Resampling.average, Resampling.bilinear, stretched)
    return AlignedLayer(group_mosaics(files), grid, reader=reader, sampling=sampling)


def land_use_layer(files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader) -> AlignedLayer:
    """DFC2022 classes 0..14 (1, rows, columns), by majority."""
    name = files[0].name

    def classes(values: FloatArray) -> FloatArray:
        known = classes_of_stack(values, name=name) if len(values) == CLASS_COUNT else classes_of(values[0], name=name)
        return known[None]

    sampling = Sampling(Resampling.mode, Resampling.nearest, classes)
    return AlignedLayer(group_mosaics(files), grid, reader=reader, sampling=sampling, bands=1)


def canopy_layer(files: Sequence[RasterFile], grid: Grid, *, reader: RasterReader) -> AlignedLayer:
    """Canopy height in metres (1, rows, columns), averaged; below zero is zero, and what no tree reaches is void."""

    def above_ground(values: FloatArray) -> FloatArray:
        known = (values >= MIN_CANOPY) & (values <= MAX_CANOPY)
        grown: FloatArray = np.where(known, np.maximum(values, 0), np.float32(np.nan))
        return grown

    sampling = Sampling(Resampling.average, Resampling.bilinear, above_ground)
    return AlignedLayer(group_mosaics(files), grid, reader=reader, sampling=sampling)
