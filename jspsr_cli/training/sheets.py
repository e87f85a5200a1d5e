"""Picture sheets: input, guides, truth, prediction and error of some crops side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.pictures import coloured_difference
from jspsr_cli.types import FloatArray
from jspsr_models.files import appearing
from jspsr_models.inputs import GUIDE_CHANNELS

# Side of one picture in inches.
SIDE = 2.4


def picture_sheet(path: Path, crops: Sequence[dict[str, FloatArray]], *, scale: HeightScale, title: str) -> None:
    """Write a PNG with one row a crop: its scaled planes (bands, rows, columns), `predicted` and `base` among them."""
    guides = [guide for guide in GUIDE_CHANNELS if guide in crops[0]]
    columns = ["input", *guides, "truth", "prediction", "error"]
    size = (SIDE * len(columns), SIDE * len(crops) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(crops), len(columns), squeeze=False)
    for row, crop in zip(axes, crops, strict=True):
        heights = {
            name: scale.unscale(crop[plane][0], float(crop["base"]))
            for name, plane in (("input", "dem"), ("truth", "target"), ("prediction", "predicted"))
        }
        colours, end = coloured_difference(heights["prediction"] - heights["truth"])
        known = heights["truth"][np.isfinite(heights["truth"])]
        shown = known if known.size else heights["input"]
        for axis, column in zip(row, columns, strict=True):
            axis.set_axis_off()
            axis.set_title(f"error ±{end:.1f} m" if column == "error" else column, fontsize=8)
            if column == "error":
                axis.imshow(colours)
            elif column in heights:
                axis.imshow(heights[column], cmap="terrain", vmin=shown.min(), vmax=shown.max())
            else:
                axis.imshow(_picture(column, crop[column]))
    figure.suptitle(title, fontsize=9)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=90)


def _picture(guide: str, plane: FloatArray) -> FloatArray:
    if guide == "image":
        return np.moveaxis(plane, 0, -1)
    classes: FloatArray = plane.argmax(axis=0).astype(np.float32)
    return classes if guide == "mask" else plane[0]
