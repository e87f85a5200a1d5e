"""The story of `evaluate`: rasters -> grid of the reference -> strips -> sums and bins -> figures and intervals."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import rasterio

from jspsr_cli.assess.asked import check_report
from jspsr_cli.assess.bootstrap import draw_blocks, drawn_figures, intervals_of
from jspsr_cli.assess.counting import OVERALL, Counted, count
from jspsr_cli.assess.evaluated import Assessed, Difference, Evaluation, Figures, Offset
from jspsr_cli.assess.ground import PARTITIONS
from jspsr_cli.assess.lattice import check_fine, own_lattice
from jspsr_cli.assess.offset import offset_of
from jspsr_cli.assess.persample import check_samples, sample_figures
from jspsr_cli.assess.rasters import Layers, Rasters, datums_of, open_rasters, samples_of
from jspsr_cli.checks import before_work
from jspsr_cli.errors import EmptyRaster, InvalidOption, MissingExtra, cause_of
from jspsr_cli.extras import require_extra
from jspsr_cli.limits import DEFAULT_BLOCK
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import Grid, common_area, name_of
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import paths_of
from jspsr_cli.raster.writer import written_through
from jspsr_cli.types import FloatArray, Progress

log = logging.getLogger(__name__)

# A baseline that ends within the area takes this share of the pixels from all sources: that is said.
LEAST_COVERED = 0.99

EMPTY = "every pixel is nodata or out of range: check the file and its unit"
WHY_NOT = "the ground is too flat or too small, or woods and houses hide it"
TAKEN_OUT = "the offset of each raster, the vertical one too, was taken out first: no figure says how far it lies off"

Paths = str | Path | Sequence[str | Path]


def evaluate(
    prediction: Paths,
    *,
    reference: Paths,
    baselines: Sequence[str | Path] = (),
    classes: Sequence[str | Path] = (),
    canopy: Sequence[str | Path] = (),
    block: float = DEFAULT_BLOCK,
    per_sample: bool = False,
    coregister: bool = False,
    report: str | Path | None = None,
    on_warning: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare elevation models with a reference, on the pixels of the reference where all have data.

    Args:
        prediction: one elevation model or several tiles, any CRS.
        reference: the terrain model that is taken for the truth, one file or several tiles, as fine as the prediction.
        baselines: other elevation models, each of one file.
        classes: land use, DFC2022 classes, Urban Atlas 2012 codes or 15 one-hot bands.
        canopy: canopy height models in metres.
        block: side in metres of the blocks that are drawn for the intervals.
        per_sample: compare by the paper's protocol as well.
        coregister: take the offset of each source against the reference, east, north and up, out of it first.
        report: HTML page to write of it; one of an earlier evaluation is replaced. Where it cannot be written, a
            warning says so, and `report` of the result is None.
        on_warning: called with each warning as soon as it is known; all of them are in the result too.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
    """
    begun = time.monotonic()
    _check_block(block)
    if per_sample or coregister:
        require_extra("evaluate")
    page = written_through(Path(report)) if report is not None else None
    if page:
        check_report(page)
    given = {"reference": reference, "baselines": baselines, "classes": classes, "canopy": canopy}
    with rasterio.Env(**GDAL_OPTIONS), RasterReader() as reader:
        rasters = open_rasters(paths_of(prediction), **{name: paths_of(paths) for name, paths in given.items()})
        work = _Evaluating(rasters, reader, block=block, on_warning=on_warning or (lambda _warning: None))
        work.look(coregister=coregister, per_sample=per_sample)
        counted = work.counted(progress or (lambda _share: None))
        found = work.result(counted, coregistered=coregister, per_sample=per_sample, begun=begun)
        return work.reported(page, found, counted) if page else found


def _check_block(block: float) -> None:
    if not (block > 0 and math.isfinite(block)):
        raise InvalidOption(f"A block of {block:g} m cannot be meant: choose a few hundred metres.")


class _Evaluating:
    """An evaluation: its grid, what is known beforehand, and what has been warned of."""

    def __init__(
        self, rasters: Rasters, reader: RasterReader, *, block: float, on_warning: Callable[[str], None]
    ) -> None:
        self._rasters, self._reader, self._block, self._on_warning = rasters, reader, block, on_warning
        self.grid: Grid = own_lattice(rasters.reference, list(rasters.sources.values()))
        check_fine(rasters.reference, rasters.prediction, self.grid)
        for files in rasters.guides.values():
            common_area([extent_of(rasters.reference), extent_of(files)])  # raises NoOverlap
        self._warnings: list[str] = []
        self._notes: list[str] = []
        self._offsets: dict[str, Offset] = {}
        self._layers = Layers(rasters, self.grid, reader=reader, offsets={})

    def look(self, *, coregister: bool, per_sample: bool) -> None:
        """What can be told before the work: doubts, datums, offsets. Raises InputError."""
        if per_sample:
            check_samples(self._rasters)
        self._datums, warnings, notes = datums_of(self._rasters)
        with before_work():
            heights, doubts = samples_of(self._layers, self._rasters, self._reader)
        self._warn(*warnings, *doubts)
        self._notes += notes
        mapped = self._rasters.reference[0].crs
        if self.grid.crs != mapped:
            self._notes.append(f"the reference is in {name_of(mapped)}, so all was brought to {name_of(self.grid.crs)}")
        try:
            require_extra("evaluate")
        except MissingExtra as error:
            self._notes.append(f"offsets were not looked for: {cause_of(error)}")
            return
        ground = heights.pop("")
        for name, values in heights.items():
            offset = offset_of(values, ground, self.grid)
            if offset:
                self._offsets[name] = offset
            elif coregister:
                raise InvalidOption(f"How far {name} lies off the reference cannot be told, {WHY_NOT}: leave "
                                    "--coregister away.")  # fmt: skip
            else:
                self._notes.append(f"how far {name} lies off the reference cannot be told: {WHY_NOT}")
        if coregister:
            self._warn(TAKEN_OUT)
            self._layers = Layers(self._rasters, self.grid, reader=self._reader, offsets=self._offsets)

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            self._warnings.append(warning)
            self._on_warning(warning)

    def counted(self, progress: Progress) -> Counted:
        """Go through all strips. Raises EmptyRaster where no pixel can be compared."""
        counted = count(self._layers, self.grid, block=self._block, progress=progress)
        reference = self._rasters.reference[0].name
        if not counted.reference:
            raise EmptyRaster(f"{reference} has no data where the others are, {EMPTY}.")
        for name, pixels in counted.known.items():
            if not pixels:
                raise EmptyRaster(f"{name} has no data where {reference} has some, {EMPTY}.")
            if pixels < LEAST_COVERED * counted.reference:
                self._warn(
                    f"{name} has no data on {1 - pixels / counted.reference:.0%} of the reference: there nothing was "
                    "compared"
                )
        if not counted.pixels:
            raise EmptyRaster(f"No pixel of {reference} has data in all of the others: leave a baseline away.")
        for kind, files in self._rasters.guides.items():
            if not counted.tallies[kind, next(iter(counted.known))].pixels.any():
                self._warn(f"{files[0].name} has no data where the others have some: it tells no ground apart")
        self._notes += self._layers.notes
        return counted

    def result(self, counted: Counted, *, coregistered: bool, per_sample: bool, begun: float) -> Evaluation:
        """All figures and intervals."""
        names = tuple(self._rasters.sources)
        times = draw_blocks(counted.used)
        lines, differences = _compared(counted, names, times)
        taken_out = self._offsets if coregistered else {}
        samples = sample_figures(self._rasters, taken_out, self._reader) if per_sample else ()
        rows, columns = self.grid.resolution
        return Evaluation(
            prediction=names[0],
            reference=self._rasters.reference[0].name,
            sources=names,
            crs=name_of(self.grid.crs),
            resolution=math.sqrt(rows * columns),
            width=self.grid.width,
            height=self.grid.height,
            pixels=counted.pixels,
            covered={name: pixels / counted.reference for name, pixels in counted.known.items()},
            block=counted.blocks.side,
            blocks=int(counted.used.sum()),
            datums={name or "reference": datum for name, datum in self._datums.items()},
            offsets=self._offsets,
            coregistered=coregistered,
            overall=tuple(line for line in lines if line.partition == OVERALL),
            differences=tuple(one for one in differences if one.partition == OVERALL),
            grounds=tuple(line for line in lines if line.partition != OVERALL),
            ground_differences=tuple(one for one in differences if one.partition != OVERALL),
            samples=samples,
            notes=tuple(dict.fromkeys(self._notes)),
            warnings=tuple(self._warnings),
            seconds=round(time.monotonic() - begun, 3),
        )

    def reported(self, page: Path, found: Evaluation, counted: Counted) -> Evaluation:
        """What was `found`, once its page is written; if that fails, whatever the cause, with a warning instead."""
        try:
            self._write(page, found, counted)
        except Exception as error:
            log.debug("there is no report", exc_info=True)
            self._warn(f"there is no report: {cause_of(error)}")
            return replace(found, warnings=tuple(self._warnings))
        return replace(found, report=str(page))

    def _write(self, page: Path, found: Evaluation, counted: Counted) -> None:
        from jspsr_cli.assess.report import Material, write_report  # with what the extra `report` brings

        options = [f"--block {self._block:g}", *["--per-sample"] * bool(found.samples)]
        material = Material(
            rasters=self._rasters,
            layers=self._layers,
            grid=self.grid,
            counted=counted,
            offsets=self._offsets if found.coregistered else {},
            reader=self._reader,
            options=[*options, *["--coregister"] * found.coregistered],
        )
        write_report(page, found, material)


def _compared(counted: Counted, names: Sequence[str], times: FloatArray) -> tuple[list[Assessed], list[Difference]]:
    """Each source on all ground, then on each kind of it; the prediction (the first) against each other one there.

    What is drawn of two is drawn from the same blocks, so their difference is surer than either.
    """
    lines, differences = [], []
    for partition, number, ground in _grounds(counted, names[0]):
        tallies = {name: counted.tallies[partition, name] for name in names}
        held = tallies[names[0]].pixels[number]  # the same of all sources
        pixels, blocks = int(held.sum()), int(np.count_nonzero(held))
        if not pixels:
            continue
        figures = {name: tally.figures(number) for name, tally in tallies.items()}
        drawn = {name: drawn_figures(tally, number, times) for name, tally in tallies.items()}
        for name in names:
            intervals = intervals_of(drawn[name], _values(figures[name]), blocks=blocks)
            lines.append(Assessed(partition, ground, name, pixels, pixels / counted.pixels, figures[name], intervals))
        own, own_draws = _values(figures[names[0]]), drawn[names[0]]
        for name in names[1:]:
            apart = {key: own[key] - value for key, value in _values(figures[name]).items() if key in own}
            draws = {key: values - drawn[name][key] for key, values in own_draws.items()}
            intervals = intervals_of(draws, apart, blocks=blocks, differences=True)
            differences.append(Difference(partition, ground, name, blocks, apart, intervals))
    return lines, differences


def _grounds(counted: Counted, source: str) -> Iterator[tuple[str, int, str]]:
    """All ground, and each kind that it is told apart by: partition, number of the class, its name."""
    yield OVERALL, 0, OVERALL
    for partition in PARTITIONS.values():
        if (partition.name, source) in counted.tallies:
            for number, ground in enumerate(partition.classes):
                yield partition.name, number, ground


def _values(figures: Figures) -> dict[str, float]:
    return {key: value for key, value in asdict(figures).items() if isinstance(value, float)}
