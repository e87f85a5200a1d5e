"""The story of `validate`: training file and weights -> samples -> predictions -> metrics -> tables, plot, GeoTIFFs."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from jspsr_cli.assess.distribution import plot_errors
from jspsr_cli.assess.metrics import compare
from jspsr_cli.assess.table import Line, Table, write_table
from jspsr_cli.errors import GuideMismatch, OutputNotWritable, PredictionFailed
from jspsr_cli.predict import exact_products, resolve_device
from jspsr_cli.provenance import input_tags, weights_tags
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.samples import write_heights
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import DEM_LAYERS, TrainingConfig
from jspsr_cli.training.crops import Crops, Item
from jspsr_cli.training.dfc30 import Sample, find_samples
from jspsr_cli.training.reading import read_config
from jspsr_cli.types import FloatArray, Progress
from jspsr_models import JSPSR, WeightsInfo, load_network

# What the table calls what was compared with the truth, beside the layers of other elevation models.
NETWORK, INPUT = "network", "input"

# What is added to the predictions' file names in place of a layer's.
PREDICTED = "JSPSR"


@dataclass(frozen=True)
class ValidationReport:
    """What was found; `lines` are the table, `folder` is where it, the plot and the predictions lie."""

    folder: str
    weights: str
    samples: int
    crops: int
    predictions: int
    lines: tuple[Line, ...]
    seconds: float
    warnings: tuple[str, ...]


def validate(
    config: str | os.PathLike[str],
    *,
    weights: str,
    output: str | os.PathLike[str] | None = None,
    data_root: str | None = None,
    device: str = "auto",
    predictions: bool = True,
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
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights cannot be loaded.
    """
    begun = time.monotonic()
    settings, found = read_config(config, data_root=data_root)
    network, info = load_network(weights, map_location=resolve_device(device))
    _check_weights(info, settings)
    samples = find_samples(settings, settings.valid_set, others=True)
    crops = Crops(samples, settings, training=False)
    folder = _made(Path(output or Path("validation") / info.name))
    table = Table()
    written = 0
    scale = HeightScale(*settings.height_range)
    for number, sample in enumerate(crops.samples):
        items = [crops[0, number * crops.per_sample + i] for i in range(crops.per_sample)]
        outputs = _predict(network, items, settings)
        for item, predicted in zip(items, outputs, strict=True):
            _enter(table, sample, item, predicted, scale=scale, config=settings)
        if predictions:
            with np.errstate(over="ignore"):  # of weights that are worth nothing
                heights = scale.unscale(_joined(items, outputs, side=samples.side), items[0]["base"])
            _write_prediction(folder / "predictions", sample, heights, info)
            written += 1
        if progress:
            progress((number + 1) / len(crops.samples))
    lines = table.lines(order=(NETWORK, INPUT, *DEM_LAYERS))
    write_table(folder, lines, about={"config": os.fspath(config), "weights": info.name, "sha256": info.sha256})
    plot_errors(folder / "distribution.png", table.pools(), order=(NETWORK, INPUT, *DEM_LAYERS), title=info.name)
    return ValidationReport(
        folder=str(folder),
        weights=info.name,
        samples=len(crops.samples),
        crops=len(crops),
        predictions=written,
        lines=tuple(lines),
        seconds=round(time.monotonic() - begun, 3),
        warnings=found + samples.warnings,
    )


def _check_weights(info: WeightsInfo, config: TrainingConfig) -> None:
    """Raise GuideMismatch where the weights are not for what the training file describes."""
    for what, has, wants in (
        ("inputs", "+".join(info.inputs), "+".join(config.inputs)),
        ("resolution", info.resolution, config.resolution),
        ("range of heights", info.height_range, config.height_range),
    ):
        if has is not None and has != wants:
            raise GuideMismatch(
                f"The weights {info.name} have another {what} ({has}) than the training file ({wants}): take the "
                "training file that they were made with."
            )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(f"{folder} cannot be made: {error.strerror}.") from error
    return folder


def _predict(network: JSPSR, items: Sequence[Item], config: TrainingConfig) -> list[FloatArray]:
    """Scaled outputs (rows, columns) of crops, `valid_batch_size` of them at a time."""
    exact_products()
    device = next(network.parameters()).device
    remaining: Iterator[Item] = iter(items)
    outputs: list[FloatArray] = []
    while batch := list(islice(remaining, config.valid_batch_size)):
        stacked = {name: torch.stack([item[name] for item in batch]).to(device) for name in ("dem", *config.inputs)}
        with torch.inference_mode():
            outputs += list(network(stacked.pop("dem"), **stacked).cpu().numpy()[:, 0])
        if not all(np.isfinite(output).all() for output in outputs[-len(batch) :]):
            raise PredictionFailed("The network returned values that are no heights: the weights do not fit.")
    return outputs


def _enter(
    table: Table, sample: Sample, item: Item, predicted: FloatArray, *, scale: HeightScale, config: TrainingConfig
) -> None:
    truth = item["target"][0].numpy()
    planes = {NETWORK: predicted, INPUT: item["dem"][0].numpy()}
    planes |= {layer: item[layer][0].numpy() for layer in sample.others}
    for source, plane in planes.items():
        table.add(sample.city, source, compare(plane, truth, scale=scale, border=config.val_border))


def _joined(items: Sequence[Item], outputs: Sequence[FloatArray], *, side: int) -> FloatArray:
    """One scaled plane (side, side) of the crops of a sample, which fade into each other where they overlap."""
    total, weights = np.zeros((side, side)), np.zeros((side, side))
    size = len(outputs[0])
    # Highest in the middle, and above zero at the edge, where there may be no other crop.
    ramp = np.minimum(np.arange(size) + 1, np.arange(size)[::-1] + 1.0)
    weight = np.outer(ramp, ramp)
    for item, output in zip(items, outputs, strict=True):
        here = (slice(item["row"], item["row"] + size), slice(item["col"], item["col"] + size))
        total[here] += weight * output
        weights[here] += weight
    joined: FloatArray = total / weights
    return joined


def _write_prediction(folder: Path, sample: Sample, heights: FloatArray, info: WeightsInfo) -> None:
    place = _made(folder / sample.city)
    with RasterReader() as reader:
        made_of = input_tags([sample.dem], {name: (file,) for name, file in sample.guides.items()}, reader=reader)
    tags = weights_tags(info) | made_of
    write_heights(place / f"{sample.id}_{PREDICTED}.tif", heights, like=sample.truth, tags=tags)
