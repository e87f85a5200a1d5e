"""What a run of `enhance` was, and what it counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.plan import Plan
from jspsr_cli.predict import WindowInput
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.products import VERTICAL_TAG
from jspsr_cli.scaling import CANOPY_MAX
from jspsr_cli.types import Bounds


@dataclass(kw_only=True)
class Tally:
    """What a run counts, the runs that it goes on from included. Pixels are those of the output.

    `pixels_beyond_datum` have no data because the grids of the vertical datum asked for do not reach there;
    `windows_beyond_training` have more relief than the weights were trained for; `canopy_clipped` are pixels, counted
    in each window that saw them, with a higher canopy than the weights know.
    """

    pixels_known: int = 0
    pixels_without_guide: int = 0
    pixels_beyond_datum: int = 0
    pixels_written: int = 0
    windows: int = 0
    windows_beyond_training: int = 0
    highest_relief: float = 0.0
    canopy_clipped: int = 0

    def see_windows(self, batch: Sequence[WindowInput], *, highest: float) -> None:
        """Count windows whose weights were trained for a relief up to `highest` metres."""
        self.windows += len(batch)
        for window in batch:
            relief = float(window.heights.max()) - window.base
            self.highest_relief = max(self.highest_relief, relief)
            self.windows_beyond_training += relief > highest
            if "canopy" in window.guides:
                self.canopy_clipped += int((window.guides["canopy"] > CANOPY_MAX).sum())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a plan: its counts, what was noted on the way, and the share (0 to 1) that was there before."""

    tally: Tally
    notes: tuple[str, ...]
    resumed_at: float


@dataclass(kw_only=True)
class RunFacts:
    """What a run was. Lengths in metres, shares (`guide_gaps`, `resumed_at`) from 0 to 1, `seconds` of wall clock.

    `uncertainty` is the second output, if one was asked for, of standard errors (1 sigma) where it is `calibrated`.
    `pixels_per_second` are those of the grid that this run worked on, voids included.
    `preview` is the picture that was asked for.
    """

    output: str
    uncertainty: str | None
    calibrated: bool | None
    crs: str
    vertical_datum: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    weights: str
    trained_on: str
    device: str
    already_done: bool
    resumed_at: float
    guide_gaps: float
    seconds: float
    pixels_per_second: int
    warnings: tuple[str, ...]
    preview: str | None = None


@dataclass(kw_only=True)
class EnhanceReport(Tally, RunFacts):
    """What a run was, and what it counted; where the output was `already_done`, nothing was."""

    @property
    def summary(self) -> str:
        """The run in one line for people."""
        beside = ""
        if self.uncertainty:
            title = "standard errors" if self.calibrated else "spread of predictions"
            beside += f", {title} in {Path(self.uncertainty).name}"
        if self.preview:
            beside += f", preview in {Path(self.preview).name}"
        if self.already_done:
            return f"{self.output} is there already, made by this command of these inputs{beside}."
        area = self.pixels_written * self.resolution**2 / 1e6
        beyond = f"{self.windows_beyond_training} of {self.windows} windows with more relief than trained for"
        resumed = f" (the first {self.resumed_at:.0%} was there)" if self.resumed_at else ""
        return (
            f"{Path(self.output).name}: {area:,.2f} km2, {self.pixels_written:,} pixels of {self.resolution:g} m, "
            f"{self.guide_gaps:.1%} without guide, {beyond}, {self.seconds:,.1f} s{resumed}, "
            f"{self.pixels_per_second:,} pixels/s on {self.device}{beside}"
        )


def report_of(plan: Plan, outcome: Outcome | None, *, seconds: float) -> EnhanceReport:
    """The report on `plan`; without an `outcome` the output was there before."""
    tally = outcome.tally if outcome else Tally()
    resumed_at = outcome.resumed_at if outcome else 1.0
    grid = plan.target.grid
    worked = round(grid.width * grid.height * (1 - resumed_at))
    return EnhanceReport(
        output=str(plan.output),
        uncertainty=str(plan.uncertainty.path) if plan.uncertainty else None,
        calibrated=plan.uncertainty.calibration is not None if plan.uncertainty else None,
        crs=name_of(grid.crs),
        vertical_datum=plan.tags[VERTICAL_TAG],
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        weights=plan.weights.name,
        trained_on=plan.weights.trained_on,
        device=str(plan.device),
        already_done=outcome is None,
        resumed_at=resumed_at,
        guide_gaps=tally.pixels_without_guide / max(1, tally.pixels_known),
        seconds=round(seconds, 3),
        pixels_per_second=round(worked / max(seconds, 1e-9)),
        warnings=(*plan.warnings, *_warnings(plan, outcome)),
        **vars(tally),
    )


def _warnings(plan: Plan, outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return []
    tally = outcome.tally
    found = list(outcome.notes)
    if not tally.pixels_written:
        polygon = " within the polygon" if plan.target.area else ""
        found.append(f"the output has no data at all: the DEM and the guides share no valid pixel{polygon}")
    if tally.windows_beyond_training:
        found.append(
            f"{tally.windows_beyond_training} of {tally.windows} windows have more than the "
            f"{plan.predictor.scale.high:g} m of relief that the weights were trained for: check the heights there"
        )
    if tally.pixels_beyond_datum:
        found.append(f"{tally.pixels_beyond_datum} pixels have no data: PROJ's grids for --vertical-crs lack them")
    if tally.canopy_clipped:
        found.append(f"canopy above {CANOPY_MAX:g} m was taken as {CANOPY_MAX:g} m")
    return found
