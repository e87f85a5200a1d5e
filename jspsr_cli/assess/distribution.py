"""The distribution of errors as a picture; needs the extra `train`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jspsr_cli.assess.metrics import Pool
from jspsr_models.files import appearing

# The picture ends where this percentile of the largest errors of any source lies.
WIDEST_PERCENTILE = 99.0
BINS = 200


def plot_errors(path: Path, pools: Mapping[str, Pool], *, order: Sequence[str], title: str) -> None:
    """Write a PNG: how often each error (prediction minus truth, metres) occurs, and how many lie within it."""
    errors = {source: pools[source].errors for source in order if source in pools}
    wide = max((float(np.percentile(np.abs(e), WIDEST_PERCENTILE)) for e in errors.values() if e.size), default=1.0)
    wide = wide or 1.0  # perfect everywhere
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    density, within = figure.subplots(1, 2)
    for source, values in errors.items():
        counts, edges = np.histogram(values, bins=BINS, range=(-wide, wide))
        density.stairs(counts / max(1, values.size) / np.diff(edges), edges, label=source)
        reach = np.linspace(0, wide, BINS)
        within.plot(reach, np.searchsorted(np.sort(np.abs(values)), reach, side="right") / max(1, values.size))
    density.set(xlabel="error in metres", ylabel="share of pixels per metre")
    within.set(xlabel="absolute error in metres", ylabel="share of pixels within it", ylim=(0, 1))
    density.legend()
    figure.suptitle(title)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=100)
