"""The metrics of the paper: the one definition for training, validation and evaluation.

Source: Cai & Wilson, Remote Sensing 2025, 17(21), 3591. Two protocols: per sample, then averaged over samples
(`sample_metrics`, `mean_metrics`), and pooled, all pixels of all samples together (`Pool`).

Errors are prediction minus truth in metres. The base of a window cancels out in them, so nothing here knows it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import numpy as np

from jspsr_cli.scaling import HeightScale
from jspsr_cli.types import FloatArray

# Share of a window's side that is cut off on each side: the border of the network's output is unreliable.
BORDER = 0.05

# Makes the median absolute deviation of a normal distribution its standard deviation (Höhle & Höhle, ISPRS Journal
# of Photogrammetry and Remote Sensing 2009, 64, 398-406).
NMAD_FACTOR = 1.4826

# The share of LE95.
LE_SHARE = 0.95

# Keeps the PSNR of a perfect prediction finite, at 80 dB.
PSNR_FLOOR = 1e-8


@dataclass(frozen=True)
class Metrics:
    """RMSE, median error, NMAD and LE95 in metres, PSNR in dB (of the scaled heights, whose range is 0..1)."""

    rmse: float
    median: float
    nmad: float
    le95: float
    psnr: float


#: Names as in the published training files, and which of `Metrics` they are.
METRIC_NAMES = {"RMSE": "rmse", "Median": "median", "NMAD": "nmad", "LE95": "le95", "PSNR": "psnr"}


@dataclass(frozen=True)
class Compared:
    """Valid pixels of a window inside its border: errors in metres, and squared differences of scaled heights."""

    errors: FloatArray
    squares: FloatArray


def compare(predicted: FloatArray, truth: FloatArray, *, scale: HeightScale, border: float = BORDER) -> Compared:
    """Compare two scaled windows, float32 (rows, columns); NaN in either is no pixel.

    The prediction is clamped to 0..1; heights are unscaled in float32, as the paper did.
    """
    cut = int(border * min(truth.shape))
    inner = tuple(slice(cut, side - cut) for side in truth.shape)
    both = ~np.isnan(predicted[inner]) & ~np.isnan(truth[inner])
    guess = np.clip(predicted[inner][both], 0, 1).astype(np.float32)
    real = truth[inner][both].astype(np.float32)
    stretch = np.float32(math.log(scale.high - scale.low))
    errors: FloatArray = np.exp(guess * stretch) - np.exp(real * stretch)
    return Compared(errors, np.square(guess - real))


def sample_metrics(compared: Compared) -> Metrics:
    """Metrics of one sample, which has at least one valid pixel: lower medians, LE95 the k-th smallest error."""
    errors = compared.errors
    median = _lower_median(errors)
    absolute = np.abs(errors)
    rank = round(LE_SHARE * (errors.size - 1))
    return Metrics(
        rmse=float(np.sqrt(np.mean(np.square(errors)))),
        median=float(median),
        nmad=float(NMAD_FACTOR * _lower_median(np.abs(errors - median))),
        le95=float(np.partition(absolute, rank)[rank]),
        psnr=_psnr(float(np.mean(compared.squares))),
    )


def mean_metrics(samples: Sequence[Metrics]) -> Metrics:
    """Each metric averaged over samples; NaN where there are none."""
    if not samples:
        return Metrics(*[math.nan] * len(fields(Metrics)))
    return Metrics(*np.mean([astuple(sample) for sample in samples], axis=0).tolist())


def error_figures(errors: FloatArray) -> tuple[float, float, float, float]:
    """RMSE, median, NMAD and LE95 in metres of one or more errors, with ordinary medians and percentiles."""
    median = np.median(errors)
    return (
        float(np.sqrt(np.mean(np.square(errors, dtype=np.float64)))),
        float(median),
        float(NMAD_FACTOR * np.median(np.abs(errors - median))),
        float(np.percentile(np.abs(errors), 100 * LE_SHARE)),
    )


@dataclass
class Pool:
    """All pixels of many samples together: their errors in metres, and the sum of the squared scaled differences."""

    parts: list[FloatArray] = field(default_factory=list)
    squares: float = 0.0

    def add(self, compared: Compared) -> None:
        """Put one sample in."""
        self.parts.append(compared.errors)
        self.squares += float(np.sum(compared.squares, dtype=np.float64))

    @property
    def errors(self) -> FloatArray:
        """All errors in metres."""
        return np.concatenate(self.parts) if self.parts else np.zeros(0, dtype=np.float32)

    def metrics(self) -> Metrics:
        """Metrics over all pixels, with ordinary medians and percentiles; NaN where there are none."""
        errors = self.errors
        if not errors.size:
            return mean_metrics([])
        return Metrics(*error_figures(errors), psnr=_psnr(self.squares / errors.size))


def pooled(pools: Iterable[Pool]) -> Pool:
    """One pool of several."""
    together = Pool()
    for pool in pools:
        together.parts += pool.parts
        together.squares += pool.squares
    return together


def _lower_median(values: FloatArray) -> np.floating[Any]:
    """The middle value, the lower one of two."""
    middle = (values.size - 1) // 2
    value: np.floating[Any] = np.partition(values, middle)[middle]
    return value


def _psnr(mean_square: float) -> float:
    return -10 * math.log10(mean_square + PSNR_FLOOR)
