"""One sample of a training set: looked at, left out for a reason, or written."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from jspsr_cli.errors import InputError, ReadFailed
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.landuse import CLASS_COUNT
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.training.ground import BAD_FILE, MISSING, VOIDS, unsuitable, voids_of
from jspsr_cli.training.journal import Record
from jspsr_cli.training.places import Candidate
from jspsr_cli.types import FloatArray

# Lower canopy the DEM hardly sees.
TREES = 2.0


def make_sample(candidate: Candidate, files: Mapping[str, Path], *, dem: str, most_voids: float) -> Record:
    """Look at one sample, and write its layers to `files` unless it is left out.

    `dem` is the layer that is compared with the terrain; other elevation models may be missing.

    Raises:
        WriteFailed: the disk is full, or the folder went away.
    """
    record = Record(city=candidate.city, id=candidate.id, made_of=candidate.made_of)
    if candidate.missing:
        return replace(record, reason=MISSING, why=f"{' and '.join(candidate.missing)} missing")
    pixels: dict[str, FloatArray] = {}
    try:
        grid, layers = candidate.read()
        for layer, values in layers:
            found = voids_of(layer, values, most=most_voids, inside=candidate.inside)
            if found and (layer not in DEM_LAYERS or layer == dem):
                return replace(record, reason=found[0], why=found[1])
            if not found:
                pixels[layer] = values
    except (InputError, ReadFailed) as error:
        return replace(record, reason=BAD_FILE, why=str(error).rstrip("."))
    unfit = unsuitable(pixels, grid, dem=dem)
    record = _described(record, pixels, grid, dem=dem)
    if unfit:
        return replace(record, reason=unfit[0], why=unfit[1])
    # Where an input says nothing there is nothing to learn; the network sees what is beside it there.
    void = np.logical_or.reduce([np.isnan(values[0]) for values in pixels.values()])
    if void.all():
        return replace(record, reason=VOIDS, why="no pixel has data in all layers")
    pixels[TRUTH] = np.where(void, np.float32(np.nan), pixels[TRUTH])
    for layer, values in pixels.items():
        files[layer].parent.mkdir(parents=True, exist_ok=True)
        _write(files[layer], layer, values, grid)
    return record


def _write(path: Path, layer: str, values: FloatArray, grid: Grid) -> None:
    """Write a layer (bands, rows, columns); only the truth keeps its voids (NaN)."""
    if layer == TRUTH:
        write_layer(path, values, grid=grid, heights=True)
    elif layer in DEM_LAYERS:
        write_layer(path, fill_voids(values), grid=grid, heights=True)
    elif layer == GUIDE_LAYERS["canopy"]:
        write_layer(path, fill_voids(values).astype(np.float32), grid=grid, heights=False)
    else:
        write_layer(path, np.round(fill_voids(values)).astype(np.uint8), grid=grid, heights=False)


def _described(record: Record, pixels: dict[str, FloatArray], grid: Grid, *, dem: str) -> Record:
    """`record` with what there is to know of its ground."""
    west, south, east, north = grid.bounds
    truth, above = pixels[TRUTH][0], (pixels[dem][0] - pixels[TRUTH][0]).astype(np.float64)
    known = ~np.isnan(above)
    classes: tuple[float, ...] = ()
    if (use := pixels.get(GUIDE_LAYERS["mask"])) is not None:
        found = use[0][~np.isnan(use[0])].astype(int)
        classes = tuple(np.bincount(found, minlength=CLASS_COUNT) / max(1, found.size))
    canopy = pixels[GUIDE_LAYERS["canopy"]][0] if GUIDE_LAYERS["canopy"] in pixels else None
    return replace(
        record,
        x=(west + east) / 2,
        y=(south + north) / 2,
        pixels=int(known.sum()),
        bias=float(above[known].mean()) if known.any() else 0.0,
        rmse=float(np.sqrt((above[known] ** 2).mean())) if known.any() else 0.0,
        relief=float(np.ptp(truth[known])) if known.any() else 0.0,
        canopy=None if canopy is None else float((canopy[~np.isnan(canopy)] > TREES).mean()),
        classes=tuple(map(float, classes)),
    )
