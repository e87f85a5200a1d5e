"""`enhance --uncertainty`: how far predictions of the same ground lie apart, and what that says of their errors.

Every window is predicted in all 8 ways in which a square can be flipped and turned, its guides with it. The heights
of the output are those of the first, which is the window as it is. All predictions that reach a pixel, those of
overlapping windows too, are one sample, in which each has the weight of its window there; the spread is the standard
deviation of that sample. So there is no step between windows, and what they disagree by where they overlap is in it.

What all predictions have in common, such as the bias of a tile or trees that the canopy map lacks, cannot show in it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jspsr_cli.predict import WindowInput, WindowPredictor
from jspsr_cli.provenance import OPERATION_TAG
from jspsr_cli.raster.products import VERTICAL_TAG
from jspsr_cli.raster.writer import Output
from jspsr_cli.types import FloatArray
from jspsr_models.calibration import Calibration

# Ways to flip and turn a square: 4 quarter turns, and these mirrored.
ORIENTATIONS = 8

# What is blended: heights, and the mean and the mean square of the residuals.
PLANES = 3

UNCERTAINTY_TAG = "JSPSR_UNCERTAINTY"

# What heights are counted from, and how they came there; an error is counted from nothing.
OF_HEIGHTS = (VERTICAL_TAG, OPERATION_TAG)


@dataclass(frozen=True)
class Uncertainty:
    """The second output: where it goes, and what turns a spread into a standard error (None: nothing does)."""

    path: Path
    calibration: Calibration | None

    def of(self, spread: FloatArray) -> FloatArray:
        """Standard errors in metres for spreads in metres; without a calibration the spreads themselves."""
        if self.calibration is None:
            return spread
        known = self.calibration
        errors: FloatArray = np.hypot(known.floor, known.factor * spread**known.power)
        return errors

    @property
    def kind(self) -> str:
        """What decides the numbers, in short."""
        known = self.calibration
        return f"calibrated by {known.floor:g}, {known.factor:g}, {known.power:g}" if known else "not calibrated"

    @property
    def meaning(self) -> str:
        """What the numbers are, for the tags."""
        if self.calibration is None:
            return "spread of predictions in metres (standard deviation over flips and quarter turns), not calibrated"
        known = self.calibration
        return (
            f"standard error of the height in metres (1 sigma), calibrated on {known.fitted_on}: "
            f"sqrt({known.floor:g}^2 + ({known.factor:g} s^{known.power:g})^2) of the spread s over flips and quarter "
            "turns; what all predictions have in common, such as the bias of a tile, is not in it"
        )

    def output(self, tags: Mapping[str, str]) -> Output:
        """The file to write, beside that of heights with `tags`."""
        options = json.dumps({**json.loads(tags["JSPSR_OPTIONS"]), "uncertainty": True})
        others = {key: value for key, value in tags.items() if key not in OF_HEIGHTS}
        title = "standard error of the elevation" if self.calibration else "spread of predicted elevations"
        return Output(self.path, {**others, "JSPSR_OPTIONS": options, UNCERTAINTY_TAG: self.meaning}, title)


def oriented(values: FloatArray, way: int) -> FloatArray:
    """A square (..., size, size) turned by `way` % 4 quarters, and from `way` 4 on mirrored after that."""
    turned = np.rot90(values, way % 4, axes=(-2, -1))
    return turned if way < ORIENTATIONS // 2 else turned[..., ::-1]


def turned_back(values: FloatArray, way: int) -> FloatArray:
    """What `oriented` made so."""
    straight = values if way < ORIENTATIONS // 2 else values[..., ::-1]
    return np.rot90(straight, -(way % 4), axes=(-2, -1))


def predicted_planes(predictor: WindowPredictor, windows: Sequence[WindowInput]) -> list[FloatArray]:
    """Heights, mean residual and mean square residual (planes, rows, columns) of each window, float64, in m and m2.

    Residuals are predictions less the upsampled DEM. Heights, and what is raised, are those of
    `WindowPredictor.heights`.
    """
    found = []
    for window, heights in zip(windows, predictor.heights(windows), strict=True):
        residual = heights - window.heights[0]
        found.append(np.stack([heights, residual, residual**2]))
    for way in range(1, ORIENTATIONS):
        turned = predictor.heights([_oriented_window(window, way) for window in windows])
        for planes, window, heights in zip(found, windows, turned, strict=True):
            residual = turned_back(heights, way) - window.heights[0]
            planes[1] += residual
            planes[2] += residual**2
    for planes in found:
        planes[1:] /= ORIENTATIONS
    return found


def _oriented_window(window: WindowInput, way: int) -> WindowInput:
    guides = {name: oriented(guide, way) for name, guide in window.guides.items()}
    return replace(window, heights=oriented(window.heights, way), guides=guides)


def spread_of(planes: FloatArray) -> FloatArray:
    """Standard deviation in metres (rows, columns) from what `predicted_planes` became by blending."""
    _, mean, square = planes
    # By rounding, what does not differ at all may come out a little below 0.
    spread: FloatArray = np.sqrt(np.maximum(square - mean**2, 0))
    return spread
