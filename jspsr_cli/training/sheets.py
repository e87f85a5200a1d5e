"""Picture sheets: input, guides, truth, prediction and error of some crops side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jspsr_cli.pictures.colours import Colours, coloured, coloured_difference
from jspsr_cli.scaling import CANOPY_MAX, HeightScale
from jspsr_cli.types import FloatArray
from jspsr_models.files import appearing
from jspsr_models.inputs import GUIDE_CHANNELS

# Side of one picture in inches.
SIDE = 2.4

# Metres that the colours of heights span at the least: ground may be flat.
FLATTEST = 0.1


def picture_sheet(
    path: Path, crops: Mapping[str, dict[str, FloatArray]], *, scale: HeightScale, border: float, title: str
) -> None:
    """Write a PNG with one row a crop, by name: its scaled planes (bands, rows, columns), `predicted` and `base` among
    them. The share `border` of its side, which is unreliable and not in the metrics, is cut off at each edge.
    """
    guides = [guide for guide in GUIDE_CHANNELS if guide in next(iter(crops.values()))]
    columns = len(guides) + 4
    figure = Figure(figsize=(SIDE * columns, SIDE * len(crops) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(crops), columns, squeeze=False)
    for row, (name, whole) in zip(axes, crops.items(), strict=True):
        crop = {key: _inside(plane, border) if plane.ndim else plane for key, plane in whole.items()}
        heights = {
            column: scale.unscale(crop[plane][0], float(crop["base"]))
            for column, plane in (("input", "dem"), ("truth", "target"), ("prediction", "predicted"))
        }
        known = heights["truth"][np.isfinite(heights["truth"])]
        shown = known if known.size else heights["input"]
        low, high = float(shown.min()), float(shown.max())
        span = max(high - low, FLATTEST)
        pictures = {column: coloured("terrain", (plane - low) / span) for column, plane in heights.items()}
        error, end = coloured_difference(heights["prediction"] - heights["truth"])
        guided = dict(_guide_picture(guide, crop[guide]) for guide in guides)
        ordered = {"input": pictures.pop("input"), **guided, **pictures, f"error ±{end:.1f} m": error}
        for axis, (column, picture) in zip(row, ordered.items(), strict=True):
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.set_title(column, fontsize=8)
        row[0].set_ylabel(f"{name}\n{low:.0f} to {high:.0f} m", fontsize=8)
    figure.suptitle(title, fontsize=9)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=90)


def _inside(plane: FloatArray, border: float) -> FloatArray:
    """What the metrics are of, see `assess.metrics.compare`."""
    cut = int(border * min(plane.shape[-2:]))
    return plane[..., cut : plane.shape[-2] - cut, cut : plane.shape[-1] - cut]


def _guide_picture(guide: str, plane: FloatArray) -> tuple[str, Colours]:
    """Heading and colours of a guide's scaled plane; a class of land use has the same colour everywhere."""
    if guide == "image":
        return guide, np.moveaxis(plane, 0, -1)
    if guide == "mask":
        return "land use", coloured("tab20", plane.argmax(axis=0))
    tallest = max(float(plane.max()) * CANOPY_MAX, 1.0)
    return f"canopy, 0 to {tallest:.0f} m", coloured("Greens", plane[0] * CANOPY_MAX / tallest)
