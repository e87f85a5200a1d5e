"""The story of `enhance`: target grid -> aligned strips -> windows -> network -> blending -> GeoTIFF.

Not called enhance.py, so that `jspsr_cli.enhance` is always the function and never this module.
"""

import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
import torch

from jspsr_cli.errors import InputChanged, JspsrError, OutputExists, cause_of
from jspsr_cli.guides import GUIDES
from jspsr_cli.overlap import Behind, one_ahead
from jspsr_cli.plan import Plan, plan_enhance
from jspsr_cli.predict import WindowInput, batches_of, windows_of
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.inputs import HeightLayers
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import paths_of
from jspsr_cli.raster.strips import Layers, Strip, aligned_strips
from jspsr_cli.raster.water import shore_weight
from jspsr_cli.raster.writer import publish_all
from jspsr_cli.report import EnhanceReport, Outcome, Tally, report_of
from jspsr_cli.request import EnhanceOptions, Inputs, Weights, picture_of
from jspsr_cli.spread import predicted_planes, spread_of
from jspsr_cli.tiling.blend import Blender
from jspsr_cli.types import FloatArray, Progress
from jspsr_cli.unfinished import Journal, State, UnfinishedWork, differences, partial_folder

log = logging.getLogger(__name__)


def enhance(
    dem: str | Path | Sequence[str | Path],
    *,
    weights: Weights = None,
    output: str | Path | None = None,
    image: Sequence[str | Path] = (),
    mask: Sequence[str | Path] = (),
    canopy: Sequence[str | Path] = (),
    options: EnhanceOptions | None = None,
    progress: Progress | None = None,
) -> EnhanceReport:
    """Make a bare-earth DEM of a global DEM and its guides, and write it to `output`.

    Args:
        dem: one elevation model or several tiles, heights in metres; any CRS.
        weights: a name of the registry, a file, or a network (any callable; a module is put into evaluation mode)
            with what is known of it.
        output: GeoTIFF to write, which appears when it is complete; by default the first DEM's name with
            `_bare_earth` in the current folder.
        image: orthophotos, or three files of one band each.
        mask: land use, DFC2022 classes, Urban Atlas 2012 codes or 15 one-hot bands.
        canopy: canopy height models in metres.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights cannot be loaded.
    """
    started = time.monotonic()
    inputs = inputs_of(dem, image=image, mask=mask, canopy=canopy)
    with rasterio.Env(**GDAL_OPTIONS):
        chosen = options or EnhanceOptions()
        plan = plan_enhance(inputs, output=Path(output) if output else None, weights=weights, options=chosen)
        if already_done(plan):
            _discard_leftovers(plan)
            return _drawn(plan, report_of(plan, None, seconds=time.monotonic() - started))
        outcome = run(plan, progress=progress)
        return _drawn(plan, report_of(plan, outcome, seconds=time.monotonic() - started))


def _drawn(plan: Plan, report: EnhanceReport) -> EnhanceReport:
    """`report` with the preview, if one is asked for: the output is there, so that it fails is a warning only."""
    if not plan.options.preview:
        return report
    try:
        from jspsr_cli.pictures.enhanced import draw_enhanced  # matplotlib, which only pictures need

        drawn = draw_enhanced(plan, picture_of(plan.output))
    except Exception as error:
        log.debug("the preview failed", exc_info=True)
        return replace(report, warnings=(*report.warnings, f"there is no preview: {cause_of(error)}"))
    return replace(report, preview=drawn.output, warnings=(*report.warnings, *drawn.warnings))


def inputs_of(dem: str | Path | Sequence[str | Path], **guides: Sequence[str | Path]) -> Inputs:
    """The arguments of `enhance` as `Inputs`, kinds of guide that are not given left out."""
    return Inputs(dem=paths_of(dem), guides={name: paths_of(paths) for name, paths in guides.items() if paths})


def already_done(plan: Plan) -> bool:
    """Whether there is nothing to do. Raises OutputExists where an output is another's."""
    if plan.options.overwrite:
        return False
    there, made = [output for output in plan.outputs if output.path.exists()], plan.made()
    for output in there:
        if output not in made:
            raise OutputExists(f"{output.path} exists and is not what this command makes: see --overwrite.")
    return len(there) == len(plan.outputs)


def run(plan: Plan, *, progress: Progress | None = None) -> Outcome:
    """Carry out `plan`, or what of it is not done yet. Raises as `enhance`.

    Aligning runs one strip ahead of the network and writing one behind, each in a thread of its own; what is computed
    does not depend on that.
    """
    grid, lattice = plan.target.grid, plan.lattice
    log.info(
        "windows of %d pixels every %d, %d at a time on %s", lattice.size, lattice.stride, plan.batch_size, plan.device
    )
    with unfinished_work(plan) as work:
        resumed_at = work.state.rows / grid.height
        if resumed_at:
            log.info("going on where the work was ended, at %.0f %%", 100 * resumed_at)
        if progress:
            progress(resumed_at)
        with RasterReader() as reader:
            outcome = _predict(plan, work, reader, progress or (lambda _share: None))
        # The heights may be there from a run without --uncertainty, or from one that was killed in the last moment.
        made = () if plan.options.overwrite else plan.made()
        publish_all(work.heights, grid, plan.outputs, made=made, made_of=plan.local_files)
        work.discard()
    return replace(outcome, resumed_at=resumed_at)


def _predict(plan: Plan, work: UnfinishedWork, reader: RasterReader, progress: Progress) -> Outcome:
    """Add the rows to `work` that are missing."""
    grid, lattice, state = plan.target.grid, plan.lattice, work.state
    (row0, col0), layers = grid.origin, layers_of(plan, reader)
    rows, cols = range(row0, row0 + grid.height), range(col0, col0 + grid.width)
    starts = lattice.starts(cols.start, cols.stop)
    blender = Blender(lattice, rows=rows, cols=cols, planes=plan.planes, done=state.rows, carry=state.carry)
    tally = Tally(**state.counted.get("tally", {}))
    notes, done = set(state.counted.get("notes", [])), state.rows
    strips = aligned_strips(layers, plan.target, lattice, skip=state.strips)
    options = rasterio.env.getenv()  # ours, and those of the caller

    def prepare() -> None:
        """Give the thread the options, which rasterio has for each thread; AWS's cannot be arguments of `Env`."""
        rasterio.Env().__enter__()
        rasterio.env.setenv(**options)

    ahead = one_ahead(strips, prepare=prepare, cancel=reader.cancel)
    with closing(ahead), Behind() as behind:
        for count, strip in enumerate(ahead, state.strips + 1):
            # Batches never cross a strip: what is predicted together does not depend on how the work is cut.
            for batch in batches_of(windows_of(strip, starts=starts, size=lattice.size), plan.batch_size):
                for window, heights in zip(batch, predicted(plan, batch), strict=True):
                    blender.add(window.col, heights)
                tally.see_windows(batch, highest=plan.predictor.scale.high)
                share = (batch[-1].col - strip.col) / (strip.dem.shape[1])
                progress((done + share * (blender.reach(strip.row) - row0 - done)) / grid.height)
            first, blended = blender.finish(strip.row)
            finished = _finish_rows(blended, strip, first, plan, tally) if blended.size else blended
            done = first - row0 + blended.shape[-2]
            notes |= layers.dem.notes
            counted = {"tally": dict(vars(tally)), "notes": sorted(notes)}
            _check_unchanged(plan, work.journal)  # before the strip counts as finished
            behind.call(work.append, finished, State(strips=count, rows=done, carry=blender.carry, counted=counted))
            progress(done / grid.height)
    return Outcome(tally=tally, notes=(*work.notes, *sorted(notes)), resumed_at=0)


def predicted(plan: Plan, batch: Sequence[WindowInput]) -> list[FloatArray]:
    """Heights in metres of each window of `batch`, (rows, columns), or what `predicted_planes` gives beside them."""
    return predicted_planes(plan.predictor, batch) if plan.uncertainty else plan.predictor.heights(batch)


def unfinished_work(plan: Plan) -> UnfinishedWork:
    """The working folder of `plan`."""
    return UnfinishedWork(
        plan.output,
        journal_of(plan),
        carry_shape=(*plan.planes, plan.lattice.overlap, plan.target.grid.width),
        restart=plan.options.restart,
        outputs=len(plan.outputs),
    )


def _discard_leftovers(plan: Plan) -> None:
    """Remove what a process left that was killed between publishing and removing it."""
    if partial_folder(plan.output).exists():
        with suppress(JspsrError), unfinished_work(plan) as work:
            work.discard()


def journal_of(plan: Plan) -> Journal:
    """What decides the output of `plan`, and where it is computed."""
    grid, tags = plan.target.grid, plan.tags
    west, _, _, north = grid.bounds
    decides = {
        "the version": tags["JSPSR_VERSION"],
        "the network": f"{plan.weights.name} ({plan.weights.sha256[:12]})",
        "the grid": f"{grid.width} x {grid.height} pixels of {grid.resolution[0]:g} m from {west!r}, {north!r} in "
        + name_of(grid.crs),
        **{f"--{key.replace('_', '-')}": str(value) for key, value in json.loads(tags["JSPSR_OPTIONS"]).items()},
        "--overlap": f"{plan.lattice.overlap} pixels",  # it is given as a share
        **{key: value for key, value in tags.items() if key.startswith(("JSPSR_INPUT", "JSPSR_FINGERPRINT"))},
        **({"--uncertainty": plan.uncertainty.kind} if plan.uncertainty else {}),
    }
    decides |= _as_they_are(plan.local_files)
    machine = {"device": str(plan.device), "threads": str(torch.get_num_threads()), "batches of": str(plan.batch_size)}
    return Journal(decides=decides, machine=machine)


def _as_they_are(files: Sequence[str]) -> dict[str, str]:
    """What tells each of the `files` that are there from an earlier or later one, with a name for messages."""
    known = {}
    for number, path in enumerate(files, 1):
        with suppress(OSError):  # whoever reads it next says so
            status = os.stat(path)
            changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(" ")
            known[f"file {number}, {Path(path).name},"] = f"{status.st_size} bytes of {changed}"
    return known


def _check_unchanged(plan: Plan, begun: Journal) -> None:
    """Raise InputChanged where a file is not what it was when the work was `begun`; what is gone was read before."""
    now = _as_they_are(plan.local_files)
    if what := differences({name: begun.decides.get(name, "not there") for name in now}, now):
        raise InputChanged(
            f"An input changed while it was worked on ({what}): put back what was there to go on, or begin anew with "
            "--restart."
        )


def layers_of(plan: Plan, reader: RasterReader) -> Layers:
    """All inputs of `plan` on its target grid."""
    grid = plan.target.grid
    dem = HeightLayers(plan.dem, grid, reader=reader, water=plan.options.water == "keep")
    guides = {name: GUIDES[name].layer(files, grid, reader, plan.stretch) for name, files in plan.guides.items()}
    return Layers(dem, guides)


def _finish_rows(blended: FloatArray, strip: Strip, first: int, plan: Plan, tally: Tally) -> FloatArray:
    """Finished rows of the outputs in metres, NaN where they have no data: voids, gaps and water put in.

    They are (rows, columns), or (rows, outputs, columns) with an uncertainty. That has no data either where heights are
    not the network's but those of the DEM.
    """
    grid = plan.target.grid
    heights = blended[0] if plan.uncertainty else blended
    rows = slice(first - strip.row, first - strip.row + len(heights))
    cols = slice(grid.origin[1] - strip.col, grid.origin[1] - strip.col + grid.width)
    dem, known, guided = strip.dem[rows, cols], strip.known[rows, cols], strip.guided[rows, cols]
    instead = dem if plan.options.guide_gaps == "dem" else np.nan
    out: FloatArray = np.where(guided, heights, instead)
    networks = guided
    if strip.water is not None:
        level, share = strip.water[:, rows, cols]
        wet = shore_weight(share) * ~np.isnan(level)
        out = out + wet * (np.nan_to_num(level) - out)
        networks = guided & (wet < 1)
    out[~known] = np.nan
    if plan.vertical:
        before = np.isnan(out)
        out = plan.vertical.applied(out, row=first - grid.origin[0])
        tally.pixels_beyond_datum += int((np.isnan(out) & ~before).sum())
    tally.pixels_known += int(known.sum())
    tally.pixels_without_guide += int((known & ~guided).sum())
    tally.pixels_written += int((~np.isnan(out)).sum())
    if plan.uncertainty is None:
        return out
    errors = np.where(networks & ~np.isnan(out), plan.uncertainty.of(spread_of(blended)), np.nan)
    return np.stack([out, errors], axis=1)
