"""The story of `prepare`: sources -> candidates -> aligned layers -> left out or written -> split by area -> summary.

OUT/DATASET_8m/<City>/<Layer>/<id>_<Layer>.tif     the set, as `train` and `validate` take it
OUT/config.yaml, OUT/summary.html                  of all places in it
OUT/prepare/<Name>.jsonl, <Name>.json              what each of its places is made of, and what came of it
"""

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from filelock import FileLock, Timeout

from jspsr_cli.errors import InvalidOption, OutputExists, OutputNotWritable, RunMismatch
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import short_name
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.training.ground import BAD_FILE
from jspsr_cli.training.journal import Record, SampleJournal
from jspsr_cli.training.making import make_sample
from jspsr_cli.training.own import own_place
from jspsr_cli.training.places import Candidate, Place
from jspsr_cli.training.results import PlaceResult, PrepareReport, write_config, write_result
from jspsr_cli.training.source import source_place
from jspsr_cli.training.split import cities_of, split
from jspsr_cli.training.summary import write_page
from jspsr_cli.types import Bounds, Progress

# What lies in the folder of a set beside the samples.
WORK, LOCK = "prepare", "jspsr.lock"

# Metres between DEM and terrain that are a datum (an ellipsoid is 20 to 60 m off) rather than a wood in most samples.
FAR = 20.0

Paths = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a set is made; each field is an option of the same name. Lengths in metres, `size` in pixels."""

    name: str | None = None
    resolution: float = 8.0
    size: int | None = None
    crs: str | None = None
    bounds: Bounds | None = None
    guide_bands: Sequence[int] | None = None
    stretch: tuple[float, float] | None = None
    voids: float = 0.0
    valid_share: float | None = None
    match_datum: bool = False
    terrain_datum: str | None = None
    simulated: bool = False
    restart: bool = False


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

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
    """
    begun, chosen = time.monotonic(), options or PrepareOptions()
    given = {TRUTH: terrain, "COP30": dem, "FABDEM": fabdem, "BDORTHO": image, "UA2012": mask, "CHM": canopy}
    paths = {layer: [os.fspath(path) for path in group] for layer, group in given.items() if group}
    _check(source, paths, chosen)
    with rasterio.Env(**GDAL_OPTIONS), RasterReader() as reader:
        place = _place(source, paths, chosen, reader)
        with _taken(Path(output)) as folder:
            return _Work(folder, place, chosen).run(progress or (lambda _share: None), begun=begun)


def _check(source: object, paths: dict[str, list[str]], options: PrepareOptions) -> None:
    if (source is None) == (not paths):
        raise InvalidOption("Give either a folder of samples, or --terrain with --dem or --fabdem and guides.")
    if source is None and (TRUTH not in paths or not {"COP30", "FABDEM"} & paths.keys()):
        raise InvalidOption("A terrain model (--terrain) and a DEM (--dem or --fabdem) are needed.")
    if source is None and not set(GUIDE_LAYERS.values()) & paths.keys():
        raise InvalidOption("A guide is needed, since the network learns from one: --guide, --mask or --canopy.")
    unused = [key for key in ("crs", "bounds", "guide_bands", "stretch") if getattr(options, key) is not None]
    if source is not None and unused:
        raise InvalidOption(f"--{unused[0].replace('_', '-')} is for rasters of your own, not for a folder of samples.")
    if options.name is not None and not re.fullmatch(r"\w[\w.+-]*", options.name):
        raise InvalidOption(f"--name {options.name[:80]!r} is no name of a folder: letters, digits and .+-_ are.")
    if options.size is not None and options.size < 8:
        raise InvalidOption("A sample has at least 8 pixels a side, which the network sees at once.")
    if not 0 <= options.voids < 1 or not 0 <= (options.valid_share or 0) <= 1:
        raise InvalidOption("--voids is a share from 0 to below 1, and --valid-share one from 0 to 1.")


def _place(source: Any, paths: dict[str, list[str]], options: PrepareOptions, reader: RasterReader) -> Place:
    shared: dict[str, Any] = {
        key: getattr(options, key) for key in ("resolution", "size", "match_datum", "terrain_datum")
    }
    if source is not None:
        return source_place(Path(source), name=options.name or Path(source).resolve().name, reader=reader, **shared)
    own = {key: getattr(options, key) for key in ("crs", "bounds", "guide_bands", "stretch")}
    name = options.name or re.sub(r"[^\w.+-]", "_", Path(short_name(paths[TRUTH][0])).stem)
    return own_place(paths, name=name, reader=reader, **shared, **own)


@contextmanager
def _taken(folder: Path) -> Iterator[Path]:
    """Hold the folder of a set while the block runs."""
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / WORK / LOCK, blocking=False):
            yield folder
    except Timeout as error:
        raise RunMismatch(f"Another jspsr prepares {folder}: wait for it, or give another --output.") from error
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise OutputNotWritable(f"{folder} cannot be written to: {error.strerror}.") from error


class _Work:
    """The making of one place in the folder of a set."""

    def __init__(self, folder: Path, place: Place, options: PrepareOptions) -> None:
        self._folder, self._place, self._options = folder, place, options
        self._samples = folder / f"{place.dataset}_{options.resolution:g}m"
        self._dem = next(layer for layer in DEM_LAYERS if layer in place.layers)

    def run(self, progress: Progress, *, begun: float) -> PrepareReport:
        place, path = self._place, self._folder / WORK / f"{self._place.name}.jsonl"
        if self._options.restart:
            self._discard(path)
        self._check_folder(path)
        # What --valid-share says decides only where samples lie.
        made_of = {
            "samples": f"{place.side} pixels a side",
            "--resolution": str(self._options.resolution),
            "--voids": str(self._options.voids),
            **place.made_of,
        }
        made = 0
        with SampleJournal(path, made_of) as journal:
            for number, candidate in enumerate(place.candidates):
                if not self._is_done(candidate, journal):
                    self._remove(candidate)
                    files = dict(zip(place.layers, self._files(candidate.city, candidate.id), strict=True))
                    journal.add(make_sample(candidate, files, dem=self._dem, most_voids=self._options.voids))
                    made += 1
                progress((number + 1) / len(place.candidates))
            wanted = [(candidate.city, candidate.id) for candidate in place.candidates]
            records = [journal.records[key] for key in wanted]
        folders, validation = self._placed(records)
        result = PlaceResult.of(
            place,
            records,
            samples=self._samples.name,
            folders=folders,
            validation=validation,
            simulated=self._options.simulated,
        )
        write_result(self._folder / WORK, result)
        results = self._results
        config, doubts = write_config(self._folder, results, resolution=self._options.resolution)
        page = self._folder / "summary.html"
        write_page(page, self._samples, results)
        return self._report(
            records,
            result,
            config=str(config) if config else None,
            summary_page=str(page),
            made=made,
            seconds=round(time.monotonic() - begun, 3),
            doubts=doubts,
        )

    @property
    def _results(self) -> list[PlaceResult]:
        return PlaceResult.all_in(self._folder / WORK)

    def _check_folder(self, path: Path) -> None:
        """Raise where the folder holds another set, or what no run of `prepare` wrote."""
        mine = {name for city in self._place.cities for name in cities_of(city)}
        for other in self._results:
            if other.name == self._place.name or not other.kept:
                continue
            if (other.samples, other.side) != (self._samples.name, self._place.side):
                raise RunMismatch(
                    f"{self._folder} holds {other.samples} with samples of {other.side} pixels a side, not "
                    f"{self._samples.name} of {self._place.side}: give another --output."
                )
            if mine & set(other.folders):
                raise RunMismatch(f"{other.name} in {self._folder} has {min(mine & set(other.folders))} too: --name.")
        strange = [name for name in sorted(mine) if (self._samples / name).exists()]
        if strange and not path.exists():
            raise OutputExists(f"{self._samples / strange[0]} exists and is no work of prepare: give another --output.")

    def _discard(self, path: Path) -> None:
        before = [self._folder / result.samples for result in self._results if result.name == self._place.name]
        if path.exists():
            for samples in {self._samples, *before}:
                for name in (name for city in self._place.cities for name in cities_of(city)):
                    shutil.rmtree(samples / name, ignore_errors=True)
            path.unlink()
            (self._folder / WORK / f"{self._place.name}.json").unlink(missing_ok=True)

    def _files(self, city: str, id_: str) -> list[Path]:
        return [self._samples / city / layer / f"{id_}_{layer}.tif" for layer in self._place.layers]

    def _is_done(self, candidate: Candidate, journal: SampleJournal) -> bool:
        record = journal.records.get((candidate.city, candidate.id))
        if record is None or record.made_of != candidate.made_of:
            return False
        # Other elevation models may be missing.
        needed = {TRUTH, self._dem, *GUIDE_LAYERS.values()} & set(self._place.layers)
        found = {
            layer
            for city in cities_of(candidate.city)
            for layer, path in zip(self._place.layers, self._files(city, candidate.id), strict=True)
            if path.exists()
        }
        return not record.kept or needed <= found

    def _remove(self, candidate: Candidate) -> None:
        for city in cities_of(candidate.city):
            for path in self._files(city, candidate.id):
                path.unlink(missing_ok=True)

    def _placed(self, records: Sequence[Record]) -> tuple[dict[str, int], set[str]]:
        """Move kept samples into the folders where they belong; count them by folder, and say which validate."""
        folders, validation = split(records, self._options.valid_share)
        for (city, id_), folder in folders.items():
            for other in set(cities_of(city)) - {folder}:
                for old, new in zip(self._files(other, id_), self._files(folder, id_), strict=True):
                    if old.exists():
                        new.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(old, new)
        for name in (name for city in self._place.cities for name in cities_of(city)):
            for folder_ in (*(self._samples / name / layer for layer in self._place.layers), self._samples / name):
                with suppress(OSError):  # of one that holds something
                    folder_.rmdir()
        return dict(sorted(Counter(folders.values()).items())), validation

    def _report(self, records: Sequence[Record], result: PlaceResult, **known: Any) -> PrepareReport:
        broken = [record.why for record in records if record.reason == BAD_FILE]
        bad = tuple(dict.fromkeys([*self._place.bad, *broken]))
        doubts = [*self._place.warnings, *(f"left out: {text}" for text in bad), *known.pop("doubts")]
        if not result.kept:
            doubts.append("no sample was kept: choose a smaller --size, or allow --voids")
        if abs(result.offset or 0) > FAR:
            doubts.append(f"the DEM is {result.offset:.1f} m above the terrain in most samples: check the datums")
        return PrepareReport(
            output=str(self._folder),
            name=self._place.name,
            kept=result.kept,
            left_out=result.left_out,
            cities=result.folders,
            bad_files=bad,
            rmse=result.rmse,
            bias=result.bias,
            datums=self._place.datums,
            warnings=tuple(doubts),
            **known,
        )
