"""The paper's protocol on any raster: samples of 128 pixels of the prediction, metrics of each, their mean.

SSIM is of the scaled heights, whose range is 0 to 1, as PSNR is: 11 x 11 pixels weighted by a Gaussian of 1.5.
Source: Wang et al., IEEE Transactions on Image Processing 2004, 13(4), 600-612.
"""

import math
from collections.abc import Iterator

import numpy as np
from rasterio.crs import CRS
from scipy import ndimage

from jspsr_cli.assess.evaluated import Offset, SampleFigures
from jspsr_cli.assess.lattice import own_lattice
from jspsr_cli.assess.metrics import BORDER, Metrics, compare, mean_metrics, sample_metrics
from jspsr_cli.assess.rasters import Layers, Rasters
from jspsr_cli.errors import InvalidGrid, NoOverlap
from jspsr_cli.raster.grid import Grid, is_metric, name_of
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.scaling import HeightScale
from jspsr_cli.types import BoolArray, FloatArray
from jspsr_models import default_height_range

# Side of a sample in pixels: 1 km in the paper's 8 m set.
SIDE = 128

# A sample with fewer pixels, as a share, is none.
LEAST_KNOWN = 0.5

# Side of SSIM's window and its standard deviation, in pixels.
WINDOW, SIGMA = 11, 1.5


def check_samples(rasters: Rasters) -> None:
    """Raise InvalidGrid where the pixels of the prediction are no squares of a map in metres."""
    crs: CRS = rasters.prediction[0].crs
    if not is_metric(crs):
        raise InvalidGrid(
            f"{rasters.prediction[0].name} is in {name_of(crs)}, and the samples of --per-sample are squares of its "
            "pixels in metres: warp it first, or leave --per-sample away."
        )


def sample_figures(rasters: Rasters, offsets: dict[str, Offset], reader: RasterReader) -> tuple[SampleFigures, ...]:
    """Metrics of each source, averaged over samples on the pixels of the prediction.

    The base of a sample is its lowest height in the first baseline, from which the prediction was made, or else in the
    reference. What is left at the edge of the area for no whole sample is left out.

    Raises:
        NoOverlap: no sample has enough data.
        ReadFailed: a raster broke off.
    """
    others = [rasters.reference, *list(rasters.sources.values())[1:]]
    grid = own_lattice(rasters.prediction, others)
    layers = Layers(rasters, grid, reader=reader, offsets=offsets)
    scale = HeightScale(*default_height_range(grid.resolution[0]))
    found: dict[str, list[tuple[Metrics, float]]] = {name: [] for name in rasters.sources}
    for window in _windows(grid):
        for name, values in _sample(layers, window, scale).items():
            found[name].append(values)
    if not any(found.values()):
        raise NoOverlap("No sample of --per-sample has data on half of its pixels in all rasters: leave it away.")
    return tuple(
        SampleFigures(
            source=name,
            samples=len(values),
            metrics=mean_metrics([metrics for metrics, _ in values]),
            ssim=float(np.mean([ssim for _, ssim in values if not math.isnan(ssim)] or [math.nan])),
        )
        for name, values in found.items()
    )


def _windows(grid: Grid) -> Iterator[tuple[int, int, int, int]]:
    """First row and column, and height and width, of samples; one smaller one where none fits."""
    height, width = min(SIDE, grid.height), min(SIDE, grid.width)
    for row in range(0, grid.height - height + 1, height):
        for col in range(0, grid.width - width + 1, width):
            yield row, col, height, width


def _sample(layers: Layers, window: tuple[int, int, int, int], scale: HeightScale) -> dict[str, tuple[Metrics, float]]:
    """Metrics and SSIM of each source in a sample; empty where it has too little data."""
    truth = layers.reference.read(*window)[0]
    heights = {name: layers.read(name, *window) for name in layers.sources}
    known = ~np.isnan(truth)
    for values in heights.values():
        known &= ~np.isnan(values)
    if known.mean() < LEAST_KNOWN:
        return {}
    from_which = list(heights.values())[1] if len(heights) > 1 else truth
    base = float(from_which[known].min())
    # What is below the range of the scale is clamped by `compare`; here the logarithm must not meet it.
    lowest = base + scale.low + 1
    planes = {
        name: scale.scale(np.where(known, np.maximum(values, lowest), np.nan), base)
        for name, values in {"": truth, **heights}.items()
    }
    real = planes.pop("")
    result = {}
    for name, plane in planes.items():
        compared = compare(plane, real, scale=scale)
        if compared.errors.size:
            result[name] = sample_metrics(compared), ssim(plane, real)
    return result


def ssim(predicted: FloatArray, truth: FloatArray) -> float:
    """Mean structural similarity of two scaled windows (rows, columns) inside their border.

    NaN in either is no pixel; so are those whose window has one. NaN where no pixel is left. The extra `evaluate`.
    """
    from skimage.metrics import structural_similarity

    cut = int(BORDER * min(truth.shape))
    inner = tuple(slice(cut, side - cut) for side in truth.shape)
    known: BoolArray = ~np.isnan(predicted[inner]) & ~np.isnan(truth[inner])
    whole = ndimage.binary_erosion(known, np.ones((WINDOW, WINDOW)))
    if not whole.any():
        return math.nan
    first, second = (np.where(known, np.clip(p[inner], 0, 1), 0).astype(np.float64) for p in (predicted, truth))
    _, similarity = structural_similarity(
        first, second, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, data_range=1.0, full=True
    )
    return float(similarity[whole].mean())
