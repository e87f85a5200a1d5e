"""The story of `prepare`: sources -> candidates -> aligned layers -> left out or written -> split by area -> summary.

OUT/DATASET_8m/<City>/<Layer>/<id>_<Layer>.tif     the set, as `train` and `validate` take it
OUT/config.yaml, OUT/summary.html                  of all places in it
OUT/left_out.csv                                   every sample and file that is not in it, and why
OUT/prepare/<Name>.jsonl, <Name>.json              what each of its places is made of, and what came of it
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import rasterio

from jspsr_cli import __version__
from jspsr_cli.errors import NothingKept, OtherWork, OutputExists
from jspsr_cli.locked import locked
from jspsr_cli.provenance import option_tags, program_tags
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import short_name
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.training.ground import MISSING
from jspsr_cli.training.journal import Record, SampleJournal
from jspsr_cli.training.making import Recipe, make_sample
from jspsr_cli.training.own import own_place
from jspsr_cli.training.places import Place
from jspsr_cli.training.request import PrepareOptions, check_prepare
from jspsr_cli.training.results import PlaceResult, PrepareReport, nothing_kept, write_omissions, write_result
from jspsr_cli.training.source import source_place
from jspsr_cli.training.split import cities_of, split
from jspsr_cli.training.stored import StoredSamples
from jspsr_cli.training.summary import write_page
from jspsr_cli.training.warned import Warned
from jspsr_cli.training.writing import write_config
from jspsr_cli.types import Progress
from jspsr_models import default_height_range

# What lies in the folder of a set beside the samples.
WORK = "prepare"

# Metres between DEM and terrain that are a datum (an ellipsoid is 20 to 60 m off) rather than a wood in most samples.
FAR = 20.0

# Metres of RMSE below which the DEM was not measured apart from the terrain: it is the same model, or made of it.
SAME = 0.05

# Bad files and missing layers that are said one by one; all of them are in a list.
NAMED = 5

Paths = Sequence[str | os.PathLike[str]]


def prepare(
    output: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    terrain: Paths = (),
    dem: Paths = (),
    fabdem: Paths = (),
    image: Paths = (),
    mask: Paths = (),
    canopy: Paths = (),
    options: PrepareOptions | None = None,
    progress: Progress | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> PrepareReport:
    """Add a place to the training set in the folder `output`, of `source` (like DFC30_source) or of rasters.

    Args:
        output: folder of the set; several places may be added to it one after another.
        source: folder of samples <City>/<Layer>/<id>_<Layer>.tif of 1 km.
        terrain: terrain models, the truth, in metres.
        dem: DEMs such as COP30; `fabdem` those that become the layer FABDEM.
        fabdem: see `dem`; one of both is needed.
        image: orthophotos.
        mask: land use.
        canopy: canopy heights in metres.
        options: everything else.
        progress: called with the share that is done, 0 to 1.
        on_warning: called with each warning of the report, as soon as it is known.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        NothingKept: no sample can be learned from; the folder of the set says why of each.
    """
    begun, chosen = time.monotonic(), options or PrepareOptions()
    given = {TRUTH: terrain, "COP30": dem, "FABDEM": fabdem, "BDORTHO": image, "UA2012": mask, "CHM": canopy}
    paths = {layer: [os.fspath(path) for path in group] for layer, group in given.items() if group}
    check_prepare(None if source is None else Path(source), paths, chosen, output=Path(output))
    with rasterio.Env(**GDAL_OPTIONS), RasterReader() as reader:
        place = _place(source, paths, chosen, reader)
        with _taken(Path(output)) as folder:
            work = _Work(folder, place, chosen, Warned(on_warning))
            return work.run(progress or (lambda _share: None), begun=begun)


def _place(source: Any, paths: dict[str, list[str]], options: PrepareOptions, reader: RasterReader) -> Place:
    if source is not None:
        name = options.name or Path(source).resolve().name
        return source_place(Path(source), name=name, options=options, reader=reader)
    name = options.name or re.sub(r"[^\w.+-]", "_", Path(short_name(paths[TRUTH][0])).stem)
    return own_place(paths, name=name, options=options, reader=reader)


@contextmanager
def _taken(folder: Path) -> Iterator[Path]:
    """Hold the folder of a set while the block runs."""
    busy = OutputExists(f"Another jspsr prepares {folder}: wait for it, or give another --output.")
    with locked(folder / WORK, busy=lambda: busy):
        yield folder


class _Work:
    """The making of one place in the folder of a set."""

    def __init__(self, folder: Path, place: Place, options: PrepareOptions, warned: Warned) -> None:
        self._folder, self._place, self._options, self._warn = folder, place, options, warned
        self._journal = folder / WORK / f"{place.name}.jsonl"
        self._samples = StoredSamples(folder / f"{place.dataset}_{options.resolution:g}m", place.layers)

    def run(self, progress: Progress, *, begun: float) -> PrepareReport:
        if self._options.restart:
            self._discard()
        self._check_folder()
        self._warn(*self._place.warnings, *(f"left out: {text}" for text in self._place.bad[:NAMED]))
        records, made, gone = self._make(progress)
        self._warn(*_gone(gone))
        folders, validation = split(records, self._options.valid_share)
        self._samples.sort(folders, cities={*self._place.cities, *(city for city, _ in gone)})
        result = PlaceResult.of(
            self._place,
            records,
            samples=self._samples.path.name,
            folders=dict(sorted(Counter(folders.values()).items())),
            validation=validation,
            simulated=self._options.simulated,
        )
        write_result(self._folder / WORK, result)
        return self._report(result, records, made=made, gone=len(gone), begun=begun)

    @property
    def _results(self) -> list[PlaceResult]:
        return PlaceResult.all_in(self._folder / WORK)

    @property
    def _own_folders(self) -> set[str]:
        return {name for city in self._place.cities for name in cities_of(city)}

    def _discard(self) -> None:
        if not self._journal.exists():
            return
        self._samples.discard(self._own_folders)
        with suppress(FileNotFoundError, OtherWork):
            before = PlaceResult.read(self._journal.with_suffix(".json"))
            StoredSamples(self._folder / before.samples, before.layers).discard(before.folders)
        self._journal.with_suffix(".json").unlink(missing_ok=True)
        self._journal.unlink()

    def _check_folder(self) -> None:
        """Raise where the folder holds another set, or what no run of `prepare` wrote."""
        samples, side = self._samples.path, self._place.side
        for other in self._results:
            if other.name == self._place.name or not other.kept:
                continue
            if (other.samples, other.side) != (samples.name, side):
                raise OtherWork(
                    f"{self._folder} holds {other.samples} with samples of {other.side} pixels a side, not "
                    f"{samples.name} of {side}: give another --output."
                )
            if shared := self._own_folders & {*other.folders}:
                raise OutputExists(
                    f"{samples / min(shared)} is of the place {other.name}: give another --output, or for rasters "
                    "another --name."
                )
        strange = [name for name in sorted(self._own_folders) if (samples / name).exists()]
        if strange and not self._journal.exists():
            raise OutputExists(f"{samples / strange[0]} exists and is no work of prepare: give another --output.")

    def _make(self, progress: Progress) -> tuple[list[Record], int, list[tuple[str, str]]]:
        """Make what is missing.

        Returns:
            What is known of each sample, how many were looked at now, and city and id of those whose files are gone.
        """
        place, samples, made = self._place, self._samples, 0
        # What --valid-share says decides only where samples lie.
        chosen = {"resolution": self._options.resolution, "voids": self._options.voids}
        made_of = {
            "the version": __version__,
            "samples": f"{place.side} pixels a side",
            **{f"--{key}": str(value) for key, value in chosen.items()},
            **place.made_of,
        }
        recipe = Recipe(
            dem=place.dem,
            voids=self._options.voids,
            scale=HeightScale(*default_height_range(self._options.resolution)),
            tags=program_tags() | option_tags(**chosen, **place.used),
        )
        candidates = {(candidate.city, candidate.id): candidate for candidate in place.candidates}
        with SampleJournal(self._journal, made_of) as journal:
            if journal.anew:  # what a run that was killed may have written without a line
                samples.discard(self._own_folders)
            gone = [key for key in journal.records if key not in candidates]
            for key in gone:
                samples.remove(*key)
            journal.forget(gone)
            for number, (key, candidate) in enumerate(candidates.items(), 1):
                if not samples.has(candidate, journal.records.get(key)):
                    samples.remove(*key)
                    journal.add(make_sample(candidate, samples.files(*key), recipe))
                    made += 1
                progress(number / len(candidates))
            return [journal.records[key] for key in candidates], made, gone

    def _report(
        self, result: PlaceResult, records: Sequence[Record], *, made: int, gone: int, begun: float
    ) -> PrepareReport:
        """Write the training file, the page and the list for all places, and report on this one.

        Raises:
            NothingKept: it has no sample.
        """
        results = self._results
        config, lacking = write_config(self._folder, results, resolution=self._options.resolution)
        page, omissions = self._folder / "summary.html", write_omissions(self._folder, results)
        write_page(page, self._samples.path, results)
        problems = [*result.bad_files, *(f"{r.city}/{r.id}: {r.why}" for r in records if r.reason == MISSING)]
        self._warn(*(f"left out: {text}" for text in problems[len(self._place.bad) : NAMED]))
        if len(problems) > NAMED:
            self._warn(f"left out: {len(problems) - NAMED} more, which {omissions} lists")
        if not result.kept:
            raise NothingKept(nothing_kept(result, records, omissions))
        self._warn(*lacking, *_doubts(result))
        return PrepareReport(
            output=str(self._folder),
            config=str(config) if config else None,
            summary_page=str(page),
            omissions=str(omissions) if omissions else None,
            name=result.name,
            kept=result.kept,
            left_out=result.left_out,
            cities=result.folders,
            bad_files=result.bad_files,
            made=made,
            gone=gone,
            beyond=result.beyond,
            rmse=result.rmse,
            bias=result.bias,
            datums=result.datums,
            seconds=round(time.monotonic() - begun, 3),
            warnings=self._warn.all,
        )


def _gone(keys: Sequence[tuple[str, str]]) -> list[str]:
    named = ", ".join("/".join(key) for key in keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")
    return [f"{len(keys)} samples left the set, since their files are gone: {named}"] if keys else []


def _doubts(result: PlaceResult) -> Iterator[str]:
    if result.beyond.sentence:
        yield result.beyond.sentence
    if result.rmse is not None and result.rmse < SAME:
        yield "DEM and terrain are all but the same: make sure that the DEM is not made of the terrain"
    if abs(result.offset or 0) > FAR:
        yield f"the DEM is {result.offset:.1f} m above the terrain in most samples: check the datums"
