"""The story of `validate`: training file and weights -> samples -> predictions -> metrics -> tables, plot, GeoTIFFs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from jspsr_cli.assess.distribution import plot_errors
from jspsr_cli.assess.metrics import compare
from jspsr_cli.assess.table import Line, Table, write_table
from jspsr_cli.errors import GuideMismatch, ReadFailed, WriteFailed
from jspsr_cli.predict import WindowInput, WindowPredictor, batches_of, resolve_device
from jspsr_cli.provenance import SIMULATED_NOTICE, input_tags, option_tags, vertical_tags, weights_tags
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.samples import SamplePixels, write_heights
from jspsr_cli.scaling import HeightScale
from jspsr_cli.tiling.blend import join_tiles
from jspsr_cli.tiling.windows import BORDER
from jspsr_cli.training.config import DEM_LAYERS, TrainingConfig
from jspsr_cli.training.crops import scaled_heights, tile_starts, tiles_of
from jspsr_cli.training.dfc30 import Sample, SampleSet, find_samples
from jspsr_cli.training.limits import Beyond, count_beyond
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.validated import PLOT, ValidationFolder, ValidationReport, made_of
from jspsr_cli.training.warned import Warned
from jspsr_cli.types import FloatArray, Progress
from jspsr_models import WeightsInfo, load_network

# What the table calls what was compared with the truth, beside the layers of other elevation models.
NETWORK, INPUT = "network", "input"

# What a sample's prediction has heights for: `enhance` would blend the rest away with the next windows.
INSIDE = slice(BORDER, -BORDER)

#: in the order of the tables and of the plot
SOURCES = (NETWORK, INPUT, *DEM_LAYERS)


@dataclass(frozen=True)
class Work:
    """A validation in which everything is decided and nothing is done."""

    config: TrainingConfig
    found: SampleSet
    predictor: WindowPredictor
    weights: WeightsInfo
    folder: ValidationFolder

    @property
    def starts(self) -> tuple[int, ...]:
        """First rows, and first columns, of the tiles of a sample."""
        return tile_starts(self.found.side, self.config.patch_size)


def validate(
    config: str | os.PathLike[str],
    *,
    weights: str,
    output: str | os.PathLike[str] | None = None,
    data_root: str | None = None,
    device: str = "auto",
    predictions: bool = True,
    restart: bool = False,
    on_warning: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> ValidationReport:
    """Compare a network, its upsampled input and other elevation models with the truth of the validation areas.

    Args:
        config: the training file; its `valid_set` is what is validated on.
        weights: a name of the registry or a file.
        output: folder for tables, plot and predictions; by default the name of the weights in `validation`.
        data_root: folder of the training set, in place of that of the file.
        device: where the network runs.
        predictions: whether to write a GeoTIFF a sample.
        restart: throw away what the folder holds of an earlier validation.
        on_warning: called with each warning as soon as it is known; all of them are in the report too.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights cannot be loaded.
    """
    begun, warned = time.monotonic(), Warned(on_warning)
    settings, found = read_config(config, data_root=data_root)
    warned(*found)
    work = _planned(settings, weights=weights, device=device, output=output)
    warned(*work.found.warnings, SIMULATED_NOTICE if work.weights.simulated else None)
    if not restart and (earlier := work.folder.finished(work.found.samples, predictions=predictions)):
        warned(*earlier.warnings)
        return earlier
    with work.folder.taken():
        table, beyond = _compared(work, predictions=predictions, progress=progress or (lambda _share: None))
        warned(beyond.sentence)
        lines = _written(table, work, config=os.fspath(config))
        report = _report(work, lines, predictions=predictions, warnings=warned.all, begun=begun)
        work.folder.finish(report)
    return report


def _report(
    work: Work, lines: tuple[Line, ...], *, predictions: bool, warnings: tuple[str, ...], begun: float
) -> ValidationReport:
    return ValidationReport(
        folder=str(work.folder.path),
        weights=work.weights.name,
        samples=len(work.found.samples),
        crops=len(work.found.samples) * len(tiles_of(work.starts)),
        predictions=len(work.found.samples) if predictions else 0,
        lines=lines,
        already_done=False,
        seconds=round(time.monotonic() - begun, 3),
        warnings=warnings,
    )


def _planned(config: TrainingConfig, *, weights: str, device: str, output: str | os.PathLike[str] | None) -> Work:
    """Load the weights and find the samples. Raises as `validate`, before any work."""
    where = resolve_device(device)
    network, info = load_network(weights, map_location=where)
    _check_weights(info, config)
    found = find_samples(config, config.valid_set, others=True)
    scale = HeightScale(*config.height_range)
    smaller = "a smaller patch_size in the training file"
    predictor = WindowPredictor(network, scale=scale, device=where, precision="float32", smaller=smaller)
    folder = Path(output or Path("validation") / info.name)
    return Work(config, found, predictor, info, ValidationFolder(folder, made_of(config, info, found.samples)))


def _check_weights(info: WeightsInfo, config: TrainingConfig) -> None:
    """Raise GuideMismatch where the weights are not for what the training file describes."""
    for what, has, wants in (
        ("inputs", "+".join(info.inputs), "+".join(config.inputs)),
        ("resolution", info.resolution, config.resolution),
        ("range of heights", info.height_range, config.height_range),
    ):
        if has is not None and has != wants:
            raise GuideMismatch(
                f"The weights {info.name} are for the {what} {has}, and the training file is for {wants}: take the one "
                "that they were made with."
            )


def _compared(work: Work, *, predictions: bool, progress: Progress) -> tuple[Table, Beyond]:
    """Compare all samples, and write the predictions if they are wanted."""
    table, beyond, scale = Table(), Beyond(), work.predictor.scale
    for number, ((sample, pixels), outputs) in enumerate(_predicted(work), 1):
        beyond += count_beyond(pixels, scale)
        base = float(pixels.dem.min())
        _enter(table, work, sample, scaled_heights(pixels, scale, base=base), outputs)
        if predictions:
            with np.errstate(over="ignore"):  # of weights that are worth nothing
                heights = join_tiles([scale.unscale(output, base) for output in outputs], work.starts)
            _write_prediction(work, sample, heights)
        progress(number / len(work.found.samples))
    return table, beyond


def _written(table: Table, work: Work, *, config: str) -> tuple[Line, ...]:
    """Write the tables and the plot, and return the lines."""
    lines = table.lines(order=SOURCES)
    if not lines:
        raise ReadFailed(f"No sample of {', '.join(work.config.valid_set)} has a valid pixel of the truth: look there.")
    folder, info = work.folder.path, work.weights
    write_table(folder, lines, about={"config": config, "weights": info.name, "sha256": info.sha256})
    title = (f"{info.name}, {len(work.found.samples)} samples, without the outer {work.config.val_border:.0%} at each "
             "edge of what the network sees")  # fmt: skip
    plot_errors(folder / PLOT, table.pools(), order=SOURCES, title=title)
    return tuple(lines)


def _predicted(work: Work) -> Iterator[tuple[tuple[Sample, SamplePixels], list[FloatArray]]]:
    """Each sample, read once, with the scaled outputs of its tiles; batches go on from sample to sample."""
    tiles, size = tiles_of(work.starts), work.config.patch_size
    samples, ahead = tee((sample, sample.read()) for sample in work.found.samples)
    windows = (_window(pixels, row, col, size) for _, pixels in ahead for row, col in tiles)
    batches = batches_of(windows, work.config.valid_batch_size)
    outputs = (output for batch in batches for output in work.predictor.scaled_heights(batch))
    yield from zip(samples, batches_of(outputs, len(tiles)), strict=True)


def _window(pixels: SamplePixels, row: int, col: int, size: int) -> WindowInput:
    """A tile as the network sees it; its base is that of the whole sample."""
    part = pixels.part(Window(col, row, size, size))
    return WindowInput(col=col, heights=part.dem, base=float(pixels.dem.min()), guides=part.guides)


def _enter(
    table: Table, work: Work, sample: Sample, planes: dict[str, FloatArray], outputs: Sequence[FloatArray]
) -> None:
    """Compare each tile of a sample's scaled planes (1, rows, columns), and what the network made of it."""
    size = work.config.patch_size
    for (row, col), output in zip(tiles_of(work.starts), outputs, strict=True):
        tile = {name: plane[0, row : row + size, col : col + size] for name, plane in planes.items()}
        truth = tile.pop("target")
        for source, plane in {NETWORK: output, INPUT: tile.pop("dem"), **tile}.items():
            compared = compare(plane, truth, scale=work.predictor.scale, border=work.config.val_border)
            table.add(sample.city, source, compared)


def _write_prediction(work: Work, sample: Sample, heights: FloatArray) -> None:
    """Write the heights of a sample, void in its unreliable border, with the tags of an output of `enhance`."""
    path, starts, size = work.folder.prediction(sample), work.starts, work.config.patch_size
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"{path.parent} cannot be made: {error.strerror}.") from error
    with RasterReader() as reader:
        made_of_tags = input_tags([sample.dem], {name: (file,) for name, file in sample.guides.items()}, reader=reader)
    overlap = size - (starts[1] - starts[0]) if len(starts) > 1 else None
    options = option_tags(resolution=sample.truth.transform.a, window=size, overlap=overlap,
                          precision=work.predictor.precision)  # fmt: skip
    tags = {**weights_tags(work.weights), **made_of_tags, **vertical_tags([sample.dem], None), **options}
    inside = np.full_like(heights, np.nan)
    inside[INSIDE, INSIDE] = heights[INSIDE, INSIDE]
    write_heights(path, inside, like=sample.truth, tags=tags)
