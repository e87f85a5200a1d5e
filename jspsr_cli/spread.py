"""`enhance --uncertainty`: how far predictions of the same ground lie apart, and what that says of their errors.

This is test-time augmentation: every window is predicted in all 8 orientations that flips and quarter turns give a
square, its guides with it. The heights of the output are those of the first, which is the window as it is. All
predictions that reach a pixel, those of overlapping windows too, are one sample, in which each has the weight of its
window there; the spread is the standard deviation of that sample. So there is no step between windows, and what they
disagree by where they overlap is in it.

What all predictions have in common, such as the bias of a tile or trees that the canopy map lacks, cannot show in it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jspsr_cli.limits import RESOLUTION_SLACK
from jspsr_cli.predict import WindowInput, WindowPredictor
from jspsr_cli.provenance import OPERATION_TAG
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.products import VERTICAL_TAG, products_of
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.writer import Output
from jspsr_cli.tiling.windows import Lattice
from jspsr_cli.types import FloatArray
from jspsr_models import WeightsInfo
from jspsr_models.calibration import Calibration, calibration_of

# Of a square: 4 quarter turns, and these mirrored.
ORIENTATIONS = 8

# What is blended: heights, and the mean and the mean square of the residuals.
PLANES = 3

UNCERTAINTY_TAG = "JSPSR_UNCERTAINTY"

# What heights are counted from, and how they came there; an error is counted from nothing.
OF_HEIGHTS = (VERTICAL_TAG, OPERATION_TAG)


@dataclass(frozen=True)
class Uncertainty:
    """The second output: where it goes, and what turns a spread into a standard error.

    Without a calibration nothing does, and `lacking` says what there is none for.
    """

    path: Path
    calibration: Calibration | None
    lacking: str = ""

    def of(self, spread: FloatArray) -> FloatArray:
        """Standard errors (1 sigma) in metres for spreads in metres; without a calibration the spreads themselves."""
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
            return (
                "spread of predictions in metres (standard deviation over flips and quarter turns), "
                f"not calibrated for {self.lacking}: errors are several times larger"
            )
        known = self.calibration
        return (
            f"standard error (1 sigma) of the height in metres, calibrated on {known.fitted_on}: "
            f"sqrt({known.floor:g}^2 + ({known.factor:g} s^{known.power:g})^2) of the spread s over flips and quarter "
            "turns; what all predictions have in common, such as the bias of a tile, is not in it"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be said before the work."""
        if self.calibration:
            return ()
        return (
            f"the uncertainty is not calibrated for {self.lacking}: it is the spread of predictions, and errors are "
            "several times larger",
        )

    def output(self, tags: Mapping[str, str]) -> Output:
        """The file to write, beside that of heights with `tags`."""
        options = json.dumps({**json.loads(tags["JSPSR_OPTIONS"]), "uncertainty": True})
        others = {key: value for key, value in tags.items() if key not in OF_HEIGHTS}
        title = "standard error (1 sigma) of the elevation" if self.calibration else "spread of predicted elevations"
        return Output(self.path, {**others, "JSPSR_OPTIONS": options, UNCERTAINTY_TAG: self.meaning}, title)


def uncertainty_of(
    path: Path, info: WeightsInfo, *, dem: Sequence[RasterFile], grid: Grid, lattice: Lattice
) -> Uncertainty:
    """The uncertainty to write to `path`, calibrated where the run is like those that its weights were judged by."""
    known = calibration_of(info)
    if known is None:
        return Uncertainty(path, None, info.name)
    unlike = []
    side = grid.resolution[0]
    if abs(side / known.resolution - 1) > RESOLUTION_SLACK:
        unlike.append(f"pixels of {side:g} m (only for {known.resolution:g} m)")
    judged = Lattice.of_share(known.window, known.overlap)
    if lattice != judged:
        unlike.append(
            f"windows of {lattice.size} pixels that overlap by {lattice.overlap} (only for {judged.size} and "
            f"{judged.overlap})"
        )
    if others := products_of(dem) - {known.product}:
        unlike.append(f"{' and '.join(sorted(others))} (only for {known.product})")
    return Uncertainty(path, None, " and ".join(unlike)) if unlike else Uncertainty(path, known)


def oriented(values: FloatArray, orientation: int) -> FloatArray:
    """A square (..., size, size) turned by `orientation` % 4 quarters, and mirrored after that from 4 on."""
    turned = np.rot90(values, orientation % 4, axes=(-2, -1))
    return turned if orientation < ORIENTATIONS // 2 else turned[..., ::-1]


def turned_back(values: FloatArray, orientation: int) -> FloatArray:
    """What `oriented` made so."""
    straight = values if orientation < ORIENTATIONS // 2 else values[..., ::-1]
    return np.rot90(straight, -(orientation % 4), axes=(-2, -1))


def predicted_planes(predictor: WindowPredictor, windows: Sequence[WindowInput]) -> list[FloatArray]:
    """Heights, mean residual and mean square residual (planes, rows, columns) of each window, float64, in m and m2.

    Residuals are predictions less the upsampled DEM. Heights, and what is raised, are those of
    `WindowPredictor.heights`.
    """
    found = []
    for window, heights in zip(windows, predictor.heights(windows), strict=True):
        residual = heights - window.heights[0]
        found.append(np.stack([heights, residual, residual**2]))
    for orientation in range(1, ORIENTATIONS):
        turned = predictor.heights([_oriented_window(window, orientation) for window in windows])
        for planes, window, heights in zip(found, windows, turned, strict=True):
            residual = turned_back(heights, orientation) - window.heights[0]
            planes[1] += residual
            planes[2] += residual**2
    for planes in found:
        planes[1:] /= ORIENTATIONS
    return found


def _oriented_window(window: WindowInput, orientation: int) -> WindowInput:
    guides = {name: oriented(guide, orientation) for name, guide in window.guides.items()}
    return replace(window, heights=oriented(window.heights, orientation), guides=guides)


def spread_of(planes: FloatArray) -> FloatArray:
    """Standard deviation in metres (rows, columns) from what `predicted_planes` became by blending."""
    _, mean, square = planes
    # By rounding, what does not differ at all may come out a little below 0.
    spread: FloatArray = np.sqrt(np.maximum(square - mean**2, 0))
    return spread
