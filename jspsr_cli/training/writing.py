"""The training file that `prepare` writes for all places of a set, with what suits a set of its size."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from jspsr_cli.limits import SMALLEST_WINDOW, WINDOW_STEP
from jspsr_cli.raster.products import joined
from jspsr_cli.training.crops import tile_starts
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH
from jspsr_cli.training.places import WINDOW, dem_of, needed
from jspsr_cli.training.results import PlaceResult
from jspsr_models.files import appearing
from jspsr_models.inputs import GUIDE_CHANNELS, VALID_INPUTS

# Of as many guides, the first that a place has.
PREFERRED = sorted(VALID_INPUTS, key=lambda known: ("canopy" in known, "image" not in known))

# The paper's batch, and the fewest steps that an epoch of a small set should have.
BATCH, STEPS = 70, 4

# Batch normalisation takes mean and variance from a batch: those of one sample spoil the weights that training begins
# with, those of fewer than eight are unsteady.
LEAST_BATCH, STEADY_BATCH = 4, 8

HEAD = "# Written by jspsr prepare, anew by every run for all places in this folder: copy it before you change it.\n"

# The paper's set has thousands. With its schedule the error of a set of 53 (two towns) changed by 0.2 to 0.3 m from
# one epoch to the next, after 100 epochs too; with this one by 0.01 m. An average over a hundred steps (0.99), twenty
# epochs there, fell 2 m behind the network that it is of.
FEW_CROPS = 500
FOR_FEW_CROPS = """
# With so few crops ({crops}) single steps are seen in the result: `ema` evaluates and saves the average of the weights
# over about twenty steps, and the learning rate rises, then falls to nearly nothing with the last epoch. Another
# number of epochs is another schedule.
ema: 0.95
scheduler: OneCycleLR
"""


def write_config(
    folder: Path, results: Sequence[PlaceResult], *, resolution: float
) -> tuple[Path | None, tuple[str, ...]]:
    """Write config.yaml for all places of a set with what all of them have.

    Returns:
        The file, or None where there is nothing to train or to validate on, and warnings.
    """
    path = folder / "config.yaml"
    results = [result for result in results if result.kept]
    if not results:
        path.unlink(missing_ok=True)
        return None, ("there is no config.yaml yet, for lack of samples: prepare another place",)
    can_shrink = results[0].dataset == "own" and results[0].side > SMALLEST_WINDOW
    more = "prepare another place" + ", or this one with a smaller --size and --restart" * can_shrink
    layers = set.intersection(*(_of_all(folder / result.samples, result) for result in results))
    valid = sorted({name for result in results for name in result.validation if name in result.folders})
    train = sorted({name for result in results for name in result.folders} - set(valid))
    dem = dem_of(layers)
    there = {guide for guide, layer in GUIDE_LAYERS.items() if layer in layers}
    # The network has one branch beside that of an image: of land use, as the paper, rather than of canopy.
    guides = max((known for known in PREFERRED if set(known) <= there), key=len, default=())
    lacking = [text for text, there in (
        ("samples to train on", train), ("samples to validate on", valid), ("a DEM that all places have", dem),
        ("a guide that all places have", guides),
    ) if not there]  # fmt: skip
    if lacking or dem is None:
        path.unlink(missing_ok=True)
        return None, (f"there is no config.yaml yet, for lack of {' and of '.join(lacking)}: {more}",)
    patch = min(WINDOW, results[0].side // WINDOW_STEP * WINDOW_STEP)
    samples = sum(result.folders.get(name, 0) for result in results for name in train)
    crops = samples * len(tile_starts(results[0].side, patch)) ** 2
    batch = min(crops, max(LEAST_BATCH, min(BATCH, crops // STEPS)))
    config = {
        "name": f"{results[0].dataset}-{resolution:g}m",
        "dataset": results[0].dataset,
        "data_root": str(folder.resolve()),
        "train_set": train,
        "valid_set": valid,
        "resolution": resolution,
        "input_data": {dem: 1, **{guide: GUIDE_CHANNELS[guide] for guide in guides}},
        "patch_size": patch,
        "train_batch_size": batch,
        **_passed_on(results, (TRUTH, dem, *(GUIDE_LAYERS[guide] for guide in guides))),
        "simulated": True if any(result.simulated for result in results) else None,
    }
    text = yaml.safe_dump({key: value for key, value in config.items() if value is not None}, sort_keys=False)
    with appearing(path) as part:
        part.write_text(HEAD + text + (FOR_FEW_CROPS.format(crops=crops) if crops < FEW_CROPS else ""), "utf-8")
    few = f"of {crops} crops to train on a batch has only {batch}, too few for steady training: {more}"
    return path, (few,) if batch < STEADY_BATCH else ()


def _of_all(samples: Path, result: PlaceResult) -> set[str]:
    """The layers that all samples of a place have; a further DEM may be void in some, which then lack its file."""
    return set(needed(result.layers)) | {
        layer
        for layer in result.layers
        if all(len([*(samples / name / layer).glob("*.tif")]) == count for name, count in result.folders.items())
    }


def _passed_on(results: Sequence[PlaceResult], layers: Iterable[str]) -> dict[str, str | None]:
    """What weights trained on `layers` inherit, as the tags of the samples say."""
    layers = tuple(layers)
    licences = [result.licences.get(layer, "") for result in results for layer in layers]
    attributions = [result.attributions.get(layer, "") for result in results for layer in layers]
    return {"licence": joined(licences) or None, "attribution": joined(attributions) or None}
