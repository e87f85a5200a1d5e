"""One sample of a training set: looked at, left out for a reason, or written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jspsr_cli.errors import InputError, ReadFailed
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.landuse import CLASS_COUNT
from jspsr_cli.raster.products import ATTRIBUTION_TAG, LICENCE_TAG
from jspsr_cli.raster.samples import SamplePixels, write_layer
from jspsr_cli.scaling import HeightScale
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.training.ground import BAD_FILE, MISSING, VOIDS, unsuitable, voids_of
from jspsr_cli.training.journal import Record
from jspsr_cli.training.limits import Beyond, count_beyond
from jspsr_cli.training.places import HEIGHT_LAYERS, Candidate, Sources
from jspsr_cli.types import FloatArray

# Lower canopy the DEM hardly sees.
TREES = 2.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How all samples of a place are made.

    `dem` is the layer that is compared with the terrain; other elevation models may be missing. `voids` is the largest
    share of them in a layer, `scale` what training will use, `tags` what all layers say of themselves.
    """

    dem: str
    voids: float
    scale: HeightScale
    tags: dict[str, str]


def make_sample(candidate: Candidate, files: Mapping[str, Path], recipe: Recipe) -> Record:
    """Look at one sample, and write its layers to `files` unless it is left out.

    Raises:
        WriteFailed: the disk is full, or the folder went away.
    """
    record = Record(city=candidate.city, id=candidate.id, made_of=candidate.made_of)
    if candidate.missing:
        return replace(record, reason=MISSING, why=f"{' and '.join(candidate.missing)} missing")
    try:
        sources = candidate.open()
        pixels, lacking = _read(sources, recipe, inside=candidate.inside)
    except (InputError, ReadFailed) as error:
        path = error.path if isinstance(error, ReadFailed) else ""
        return replace(record, reason=BAD_FILE, why=str(error).rstrip("."), path=path)
    if lacking:
        return replace(record, reason=lacking[0], why=lacking[1], void=lacking[2])
    unfit = unsuitable(pixels, sources.grid, dem=recipe.dem)
    record = _described(record, pixels, sources.grid, dem=recipe.dem)
    if unfit:
        return replace(record, reason=unfit[0], why=unfit[1])
    # Where an input says nothing there is nothing to learn; the network sees what is beside it there.
    void = np.logical_or.reduce([np.isnan(values[0]) for values in pixels.values()])
    if void.all():
        return replace(record, reason=VOIDS, why="no pixel has data in all layers")
    pixels[TRUTH] = np.where(void, np.float32(np.nan), pixels[TRUTH])
    # Only the truth keeps its voids.
    pixels = {layer: values if layer == TRUTH else fill_voids(values) for layer, values in pixels.items()}
    tags = {layer: recipe.tags | sources.tags(layer) for layer in pixels}
    for layer, values in pixels.items():
        heights = layer in HEIGHT_LAYERS
        write_layer(files[layer], _stored(layer, values), grid=sources.grid, heights=heights, tags=tags[layer])
    return replace(
        record,
        beyond=_beyond(pixels, recipe),
        licences={layer: said[LICENCE_TAG] for layer, said in tags.items() if LICENCE_TAG in said},
        attributions={layer: said[ATTRIBUTION_TAG] for layer, said in tags.items() if ATTRIBUTION_TAG in said},
    )


def _read(
    sources: Sources, recipe: Recipe, *, inside: bool
) -> tuple[dict[str, FloatArray], tuple[str, str, float] | None]:
    """Layers without too many voids; for the worst needed one that has them reason, sentence and share."""
    pixels: dict[str, FloatArray] = {}
    worst: tuple[str, str, float] | None = None
    for layer, values in sources.pixels():
        found = voids_of(layer, values, most=recipe.voids, inside=inside)
        if not found:
            pixels[layer] = values
        elif layer not in DEM_LAYERS or layer == recipe.dem:
            share = float(np.isnan(values[0]).mean())
            if worst is None or share > worst[2]:
                worst = (*found, share)
            if share == 1:
                break
    return pixels, worst


def _beyond(pixels: Mapping[str, FloatArray], recipe: Recipe) -> Beyond:
    guides = {kind: pixels[layer] for kind, layer in GUIDE_LAYERS.items() if layer in pixels}
    seen = SamplePixels(dem=pixels[recipe.dem], truth=pixels[TRUTH], guides=guides, others={})
    return count_beyond(seen, recipe.scale)


def _stored(layer: str, values: FloatArray) -> NDArray[Any]:
    """Pixels as a layer holds them: metres are float32, colours and classes 8 bit."""
    if layer in HEIGHT_LAYERS or layer == GUIDE_LAYERS["canopy"]:
        return values.astype(np.float32)
    return np.round(values).astype(np.uint8)


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
