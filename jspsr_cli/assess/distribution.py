"""The distribution of errors as a picture; needs the extra `train`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jspsr_cli.assess.metrics import LE_SHARE, Pool
from jspsr_models.files import appearing

# The picture ends where this percentile of the largest errors of any source lies.
WIDEST_PERCENTILE = 99.0

# Bins up to there: half the square root of the pixels, within these limits. With more, few pixels look like noise.
FEWEST_BINS, MOST_BINS = 10, 100


def plot_errors(path: Path, pools: Mapping[str, Pool], *, order: Sequence[str], title: str) -> None:
    """Write a PNG: how often each error (prediction minus truth, metres) occurs, and how many lie within it."""
    sources = [source for source in order if source in pools]
    # The errors of a large set take gigabytes: those of one source at a time.
    wide = max(float(np.percentile(np.abs(pools[source].errors), WIDEST_PERCENTILE)) for source in sources)
    wide = wide or 1.0  # perfect everywhere
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    density, within = figure.subplots(1, 2)
    for source in sources:
        errors = pools[source].errors
        bins = min(MOST_BINS, max(FEWEST_BINS, math.isqrt(errors.size) // 2))
        counts, edges = np.histogram(errors, bins=2 * bins, range=(-wide, wide))
        density.stairs(counts / errors.size / np.diff(edges), edges, label=source)
        reach = np.linspace(0, wide, MOST_BINS + 1)
        counts, _ = np.histogram(np.abs(errors), bins=reach)
        within.plot(reach, np.insert(np.cumsum(counts), 0, 0) / errors.size, label=source)
    density.axvline(0, color="grey", linewidth=0.5)
    within.axhline(LE_SHARE, color="grey", linewidth=0.5)
    density.set(xlabel="error (height minus truth) in metres", ylabel="share of pixels per metre")
    within.set(xlabel="absolute error in metres", ylabel="share of pixels within it", ylim=(0, 1))
    density.legend()
    within.legend(loc="lower right")
    figure.suptitle(title)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=100)
