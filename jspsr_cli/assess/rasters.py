"""What is compared: the rasters opened, and looked at before the work begins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine

from jspsr_cli.assess.evaluated import Offset
from jspsr_cli.assess.offset import BARE, sampled
from jspsr_cli.checks import check_canopy, check_terrain
from jspsr_cli.errors import WrongValues
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers, canopy_layer, land_use_layer, open_canopy, open_dem, open_land_use
from jspsr_cli.raster.products import several_datums, vertical_datum
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.types import FloatArray

# How many units of another length a metre has, by the name of that length.
OTHER_UNITS = {"feet": 1 / 0.3048, "decimetres": 10.0, "centimetres": 100.0}

# Heights follow each other this well, and their ratio is that of two units to this share, where only the unit differs.
FOLLOWING, RATIO_SLACK = 0.95, 0.03

# Metres of relief (a standard deviation) without which a ratio says nothing.
RELIEF = 1.0

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Rasters:
    """Opened files: the reference, the prediction and baselines by name, and what tells grounds apart by its kind."""

    reference: tuple[RasterFile, ...]
    sources: dict[str, tuple[RasterFile, ...]]
    guides: dict[str, tuple[RasterFile, ...]]

    @property
    def prediction(self) -> tuple[RasterFile, ...]:
        """The first of the sources."""
        return next(iter(self.sources.values()))


def open_rasters(
    prediction: Sequence[str],
    *,
    reference: Sequence[str],
    baselines: Sequence[str],
    classes: Sequence[str],
    canopy: Sequence[str],
) -> Rasters:
    """Open everything. Raises InputError as `jspsr_cli.raster.inputs` does."""
    sources: dict[str, tuple[RasterFile, ...]] = {}
    for paths in (prediction, *([path] for path in baselines)):
        files = open_dem(paths)
        name, count = files[0].name, 1
        while name in sources:  # files of one name in several folders
            count += 1
            name = f"{files[0].name} {count}"
        sources[name] = files
    guides = {"classes": open_land_use(classes), "canopy": open_canopy(canopy)}
    return Rasters(open_dem(reference), sources, {name: files for name, files in guides.items() if files})


class Layers:
    """The rasters on `grid`; sources that have an offset are put where the reference says."""

    def __init__(self, rasters: Rasters, grid: Grid, *, reader: RasterReader, offsets: dict[str, Offset]) -> None:
        self._heights = {name: HeightLayers(files, moved(grid, offsets.get(name)), reader=reader, water=False)
                         for name, files in rasters.sources.items()}  # fmt: skip
        self._reference = HeightLayers(rasters.reference, grid, reader=reader, water=False)
        self._up = {name: np.float32(offset.up) for name, offset in offsets.items()}
        self.reference = self._reference.heights
        self.sources = {name: heights.heights for name, heights in self._heights.items()}
        kinds = {"classes": land_use_layer, "canopy": canopy_layer}
        self.guides: dict[str, AlignedLayer] = {
            name: kinds[name](files, grid, reader=reader) for name, files in rasters.guides.items()
        }

    def read(self, name: str, row: int, col: int, height: int, width: int) -> FloatArray:
        """Heights of a source in metres (rows, columns), as `AlignedLayer.read`."""
        heights: FloatArray = self.sources[name].read(row, col, height, width)[0] - self._up.get(name, np.float32(0))
        return heights

    @property
    def notes(self) -> list[str]:
        """What was found on the way."""
        every = {"the reference": self._reference, **self._heights}
        return [f"{name}: {note}" for name, heights in every.items() for note in sorted(heights.notes)]


def moved(grid: Grid, offset: Offset | None) -> Grid:
    """Where a source that lies off has what the reference has on `grid`."""
    if offset is None:
        return grid
    return replace(grid, transform=Affine.translation(offset.east, offset.north) * grid.transform)


def samples_of(layers: Layers, rasters: Rasters, reader: RasterReader) -> tuple[dict[str, FloatArray], list[str]]:
    """Heights of each source all over the grid, and of the reference (as "") where no canopy is known; doubts.

    Raises:
        WrongValues: a source is in another unit than the reference, or canopy heights are none.
        ReadFailed: a raster broke off, or has land use of no known class.
    """
    grid = layers.reference.grid
    ground = sampled(layers.reference)
    heights = {name: sampled(layer) for name, layer in layers.sources.items()}
    for name, values in heights.items():
        _check_unit(values, ground, name=name, reference=rasters.reference[0].name)
    doubts = check_terrain(rasters.reference, rasters.prediction, grid, reader=reader)
    if "canopy" in rasters.guides:
        doubts += check_canopy(rasters.guides["canopy"], rasters.reference, grid, reader)
        ground[sampled(layers.guides["canopy"]) >= BARE] = np.nan
    if "classes" in layers.guides:
        sampled(layers.guides["classes"])
    return {"": ground, **heights}, doubts


def _check_unit(heights: FloatArray, ground: FloatArray, *, name: str, reference: str) -> None:
    known = ~np.isnan(heights) & ~np.isnan(ground)
    if np.count_nonzero(known) < 2:
        return
    a, b = heights[known].astype(np.float64), ground[known].astype(np.float64)
    if min(a.std(), b.std()) < RELIEF or np.corrcoef(a, b)[0, 1] < FOLLOWING:
        return
    ratio = a.std() / b.std()
    for unit, factor in OTHER_UNITS.items():
        for wrong, right, found in ((name, reference, ratio), (reference, name, 1 / ratio)):
            if math.isclose(found, factor, rel_tol=RATIO_SLACK):
                raise WrongValues(
                    f"{wrong} has {found:.3g} times the relief of {right}, so it is in {unit}: say so in the file, for "
                    f"example with gdal_edit.py -scale {1 / factor:.4g}."
                )


def datums_of(rasters: Rasters) -> tuple[dict[str, str], list[str], list[str]]:
    """Names of the vertical datums of the reference (as "") and the sources; warnings, and notes."""
    warnings, notes, names = [], [], {}
    right = vertical_datum(rasters.reference[0])
    for name, files in {"": rasters.reference, **rasters.sources}.items():
        said = name or rasters.reference[0].name
        warnings += several_datums(files, what=said)
        datum = vertical_datum(files[0])
        names[name] = datum.name if datum else NOT_STATED
        if datum is None:
            notes.append(f"{said} does not say what its heights are counted from: make sure that all have one datum")
        elif right and datum.surface != right.surface:
            warnings.append(
                f"heights of {said} are in {datum.name} and those of the reference in {right.name}: their distance "
                "counts as an error, but with --coregister; bring one to the other first, an output of jspsr with "
                "enhance --vertical-crs"
            )
    return names, warnings, notes
