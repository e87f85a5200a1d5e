"""The layout of DFC30: which samples there are, and whether their layers fit.

    DATA_ROOT/DFC30_8m/<City>/<Layer>/<id>_<Layer>.tif

One sample is about 1 km x 1 km; its layers have the same pixels. Training sets of other ground have this layout too.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.windows import Window

from jspsr_cli.errors import BadTrainingSet, InvalidConfig, JspsrError
from jspsr_cli.raster.samples import SamplePixels, lowest_height, misfit, read_sample
from jspsr_cli.raster.sources import RasterFile, inspect_raster
from jspsr_cli.training.config import DEM_LAYERS, TrainingConfig

TRUTH = "RGEALTI"
GUIDE_LAYERS = {"image": "BDORTHO", "mask": "UA2012", "canopy": "CHM"}

# Bad layers that an error names; the others are counted, and all of them logged.
NAMED = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """The files of one sample: what is upsampled, the truth, the guides by name, other elevation models by layer."""

    city: str
    id: str
    dem: RasterFile
    truth: RasterFile
    guides: dict[str, RasterFile]
    others: dict[str, RasterFile]

    @property
    def name(self) -> str:
        """City and id."""
        return f"{self.city}/{self.id}"

    def read(self, window: Window | None = None) -> SamplePixels:
        """Read all layers, or what `window` shows of them. Raises as `raster.samples.read_sample`."""
        return read_sample(dem=self.dem, truth=self.truth, guides=self.guides, others=self.others, window=window)

    def base(self) -> float:
        """The lowest height of its DEM in metres. Raises as `read`."""
        return lowest_height(self.dem)


@dataclass(frozen=True)
class SampleSet:
    """Usable samples in the order of city and id, all of `side` pixels, and warnings about what was left out."""

    samples: tuple[Sample, ...]
    side: int
    warnings: tuple[str, ...]


def set_folder(config: TrainingConfig) -> Path:
    """The folder of cities that `config` trains on.

    Raises:
        InvalidConfig: there is none.
    """
    if not config.data_root:
        raise InvalidConfig("No data_root is given, the folder that holds the training set: use --data-root.")
    name = f"{config.dataset}_{config.resolution:g}m"
    folder = Path(config.data_root) / name
    if not folder.is_dir():
        raise InvalidConfig(f"{config.data_root} holds no folder {name}: give another --data-root.")
    return folder


def find_samples(config: TrainingConfig, cities: Sequence[str], *, others: bool = False) -> SampleSet:
    """All samples of `cities`; with `others`, with the other elevation models that a sample has.

    Raises:
        BadTrainingSet: a city or a layer is missing, or layers do not fit; the sentence names them. Incomplete
            samples are left out instead where the configuration says `skip_incomplete`.
    """
    folder = set_folder(config)
    samples: list[Sample] = []
    bad: list[str] = []
    for city in cities:
        found, problems = _city_samples(folder / city, config, others=others)
        samples += found
        bad += problems
    # A set has samples of one size, and it is square: what most of them have.
    sizes = Counter(min(sample.truth.width, sample.truth.height) for sample in samples)
    side = sizes.most_common(1)[0][0] if sizes else 0
    usable = []
    for sample in samples:
        truth = sample.truth
        if (truth.width, truth.height) == (side, side):
            usable.append(sample)
        else:
            bad.append(f"{truth.path} is {truth.width} x {truth.height} pixels, not {side} x {side}")
    for problem in bad if len(bad) > NAMED else ():
        log.info(problem)
    if bad and not config.skip_incomplete:
        raise BadTrainingSet(
            f"{_listed(bad)}: repair or remove {'it' if len(bad) == 1 else 'them'}, or set skip_incomplete: true."
        )
    if not usable:
        raise BadTrainingSet(f"No sample of {', '.join(cities)} in {folder} can be used: {_listed(bad)}.")
    if side < config.patch_size:
        raise BadTrainingSet(f"The samples in {folder} have {side} pixels a side, fewer than patch_size.")
    return SampleSet(tuple(usable), side, (f"left out: {_listed(bad)}",) if bad else ())


def _listed(problems: Sequence[str]) -> str:
    rest = len(problems) - NAMED
    return "; ".join(problems[:NAMED]) + (f"; and {rest} more, which -v lists" if rest > 0 else "")


def _city_samples(folder: Path, config: TrainingConfig, *, others: bool) -> tuple[list[Sample], list[str]]:
    """Samples of one city whose layers fit, and why the others do not."""
    if not folder.is_dir():
        return [], [f"{folder} is missing"]
    wanted = {"dem": config.dem, "truth": TRUTH} | {guide: GUIDE_LAYERS[guide] for guide in config.inputs}
    more = [layer for layer in DEM_LAYERS if others and layer != config.dem and (folder / layer).is_dir()]
    bad: list[str] = []
    paths = {layer: files_by_id(folder / layer, layer, bad) for layer in (*wanted.values(), *more)}
    ids = sorted({id_ for layer in wanted.values() for id_ in paths[layer]}, key=natural)
    if not ids:
        bad.append(f"{folder} holds no sample")
    samples = []
    for id_ in ids:
        missing = [layer for layer in wanted.values() if id_ not in paths[layer]]
        if missing:
            bad += [f"{folder / layer / f'{id_}_{layer}.tif'} is missing" for layer in missing]
            continue
        try:
            files = {role: inspect_raster(str(paths[layer][id_])) for role, layer in wanted.items()}
            extra = {layer: inspect_raster(str(paths[layer][id_])) for layer in more if id_ in paths[layer]}
        except JspsrError as error:
            bad.append(str(error).rstrip("."))
            continue
        guides = {guide: files[guide].unscaled() for guide in config.inputs}
        sample = Sample(folder.name, id_, files["dem"], files["truth"], guides, extra)
        misfits = list(_misfits(sample))
        bad += misfits
        if not misfits:
            samples.append(sample)
    return samples, bad


def files_by_id(folder: Path, layer: str, bad: list[str]) -> dict[str, Path]:
    """Files of a layer by the id in their names; those with other names go to `bad`."""
    found = {}
    for entry in sorted(os.scandir(folder), key=lambda e: e.name) if folder.is_dir() else ():
        path = Path(entry.path)
        if path.suffix.lower() not in (".tif", ".tiff") or path.name.startswith("."):
            continue
        if not path.stem.endswith(f"_{layer}"):
            bad.append(f"{path} is not named <id>_{layer}.tif")
            continue
        found[path.stem.removesuffix(f"_{layer}")] = path
    return found


def natural(id_: str) -> tuple[int, str]:
    """Order of ids: numbers by their value."""
    return (int(id_) if id_.isdecimal() else -1, id_)


def _misfits(sample: Sample) -> Iterable[str]:
    heights = [(None, file) for file in (sample.truth, sample.dem, *sample.others.values())]
    for guide, file in (*heights, *sample.guides.items()):
        why = misfit(file, sample.truth, guide=guide)
        if why:
            yield f"{file.path} {why}"
