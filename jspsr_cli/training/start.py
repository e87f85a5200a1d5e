"""What a run begins with: samples, a network, and what its weights will say of themselves."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import TypeAdapter

from jspsr_cli.errors import InvalidConfig, OtherWork, ReadFailed
from jspsr_cli.raster.products import SIMULATED_TAG, inherited, joined
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import TRUTH, SampleSet
from jspsr_models import JSPSR, WeightsInfo, load_network
from jspsr_models.errors import WeightsError
from jspsr_models.info import NOT_STATED
from jspsr_models.transfer import with_guides
from jspsr_models.weights import locate

# The keys of a training file that name the areas of a set.
SETS = ("train_set", "valid_set")

# What the network has of the weights that it begins with, where the training file does not say it.
FROM_WEIGHTS = ("num_feature", "propagation")


@dataclass(frozen=True)
class Origin:
    """What a run began with beside its settings: of each set how many samples, and the SHA-256 of their names and
    files; what is known of the weights of `model_kwargs.checkpoint`, if there are any.
    """

    samples: dict[str, tuple[int, str]]
    weights: WeightsInfo | None


ORIGIN = TypeAdapter(Origin)


def first_network(
    config: TrainingConfig, sets: Mapping[str, SampleSet], *, earlier: Origin | None
) -> tuple[JSPSR, Origin]:
    """A new network, always the same for a seed, or the one of `model_kwargs.checkpoint`, made to take its guides.

    A run that goes on needs the structure only, and not the checkpoint; `earlier` is its origin.

    Raises:
        WeightsError: the checkpoint cannot be loaded.
        InvalidConfig: it has another width or output than the training file asks for.
        OtherWork: samples or checkpoint are not those of `earlier`.
    """
    samples = {name: (len(found.samples), _digest(found)) for name, found in sets.items()}
    checkpoint = config.model_kwargs.checkpoint
    if earlier is not None:
        _check_origin(earlier, samples, checkpoint)
    if earlier is not None or checkpoint is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            origin = earlier or Origin(samples, None)
            known = {name: getattr(origin.weights, name) for name in FROM_WEIGHTS} if origin.weights else {}
            return JSPSR(inputs=config.inputs, **known | _asked(config)), origin
    network, info = load_network(checkpoint)
    for key, value in _asked(config).items():
        if getattr(network, key) != value:
            raise InvalidConfig(
                f"{checkpoint} is a network with {key} = {getattr(network, key)}, and the training file asks for "
                f"{value}: change one of them."
            )
    if network.inputs != config.inputs:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = with_guides(network, config.inputs)
    return network, Origin(samples, info)


def other_guides(weights: WeightsInfo | None, inputs: Sequence[str]) -> str | None:
    """What is said of weights to begin with that take other guides than `inputs`; else nothing."""
    if weights is None or weights.inputs == tuple(inputs):
        return None
    new = [name for name in inputs if name not in weights.inputs]
    gone = [name for name in weights.inputs if name not in inputs]
    told = [f"{word}: {', '.join(names)}" for word, names in (("to be learnt", new), ("left out", gone)) if names]
    return f"{weights.name} was trained with {'+'.join(weights.inputs)} ({'; '.join(told)})"


def _asked(config: TrainingConfig) -> dict[str, Any]:
    """What the configuration itself says of the structure of the network, as `JSPSR` calls it."""
    options = config.model_kwargs
    asked = {"num_feature": options.num_feature, "propagation": options.spn}
    return {name: value for name, value in asked.items() if value is not None}


def _digest(found: SampleSet) -> str:
    """SHA-256 of names and bytes: the same for a copy elsewhere, another for one changed pixel.

    Raises:
        ReadFailed: a file is gone or breaks off.
    """
    digest = hashlib.sha256()
    for sample in found.samples:
        digest.update(sample.name.encode())
        for file in (sample.dem, sample.truth, *sample.guides.values()):
            try:
                with open(file.path, "rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
            except OSError as error:
                raise ReadFailed(f"{file.path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def _check_origin(earlier: Origin, samples: Mapping[str, tuple[int, str]], checkpoint: str | None) -> None:
    way_out = "give another --output, or --restart to throw the run away."
    for name, now in samples.items():
        then = earlier.samples[name]
        if then != now:
            count = f"{then[0]} then, {now[0]}{' others or changed ones' * (then[0] == now[0])} now"
            raise OtherWork(
                f"The samples of {name} are not those that this run was begun with ({count}): restore them, {way_out}"
            )
    if earlier.weights is None or checkpoint is None:
        return
    sha256 = sha256_of(checkpoint)  # those that are gone are not needed
    if sha256 is not None and sha256 != earlier.weights.sha256:
        raise OtherWork(
            f"{checkpoint} holds other weights than those that this run was begun with: go on without --from, {way_out}"
        )


def sha256_of(checkpoint: str) -> str | None:
    """SHA-256 of the weights of that name or path, None where they cannot be read."""
    try:
        with locate(checkpoint)[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (WeightsError, OSError):
        return None


def weights_info(
    config: TrainingConfig, network: JSPSR, *, trained_on: SampleSet, earlier: WeightsInfo | None
) -> WeightsInfo:
    """What the new weights say; samples, and weights that they begin with, pass on licences and attributions."""
    files = [file for sample in trained_on.samples for file in (sample.dem, sample.truth, *sample.guides.values())]
    licences, attributions = inherited(files)
    said = (
        f"{config.dataset}, {len(config.train_set)} areas ({', '.join(config.train_set)}): {config.dem} to {TRUTH} "
        f"at {config.resolution:g} m"
    )
    info = WeightsInfo(
        name=config.name,
        sha256="",
        inputs=network.inputs,
        num_feature=network.num_feature,
        propagation=network.propagation,
        resolution=config.resolution,
        height_range=config.height_range,
        window=config.patch_size,
        licence=_joined([config.licence or "", *licences, earlier.licence if earlier else ""]),
        attribution=_joined([config.attribution or "", *attributions, earlier.attribution if earlier else ""]),
        trained_on=_joined([said, f"begun with {earlier.name} ({earlier.trained_on})" if earlier else ""]),
        simulated=config.simulated,
    )
    made_up = any(SIMULATED_TAG in file.tags for file in files)
    return replace(info, simulated=True) if made_up or (earlier and earlier.simulated) else info


def _joined(statements: Sequence[str]) -> str:
    return joined(text for text in statements if text != NOT_STATED) or NOT_STATED
