"""The network that a run begins with, and what its weights will say of themselves."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from jspsr_cli.errors import GuideMismatch
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_models import JSPSR, WeightsInfo, load_network
from jspsr_models.info import NOT_STATED

# What is derived from these inherits their licence.
SHARE_ALIKE = {
    "FABDEM": "CC BY-NC-SA 4.0, inherited from FABDEM",
    "FATHOM": "CC BY-NC-SA 4.0, inherited from FathomDEM",
}


def first_network(config: TrainingConfig) -> tuple[JSPSR, WeightsInfo]:
    """A new network, always the same for a seed, or the one of `model_kwargs.checkpoint`.

    Raises:
        WeightsError: the checkpoint cannot be loaded.
        GuideMismatch: it is not the network of the configuration.
    """
    wanted = {"inputs": config.inputs, "num_feature": config.model_kwargs.num_feature,
              "propagation": config.model_kwargs.spn}  # fmt: skip
    if config.model_kwargs.checkpoint is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return JSPSR(**wanted), _info(config, None)  # type: ignore[arg-type]
    network, earlier = load_network(config.model_kwargs.checkpoint)
    for key, value in wanted.items():
        if getattr(network, key) != value:
            raise GuideMismatch(
                f"{config.model_kwargs.checkpoint} is a network with {key} = {_shown(getattr(network, key))}, and the "
                f"training file asks for {_shown(value)}: change one of them."
            )
    return network, _info(config, earlier)


def _shown(value: object) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _info(config: TrainingConfig, earlier: WeightsInfo | None) -> WeightsInfo:
    """What the new weights say; what they began with passes on its licence, attribution and training data."""
    trained_on = (
        f"{config.dataset}, {len(config.train_set)} areas ({', '.join(config.train_set)}): {config.dem} to {TRUTH} "
        f"at {config.resolution:g} m"
    )
    info = WeightsInfo(
        name=config.name,
        sha256="",
        inputs=config.inputs,
        num_feature=config.model_kwargs.num_feature,
        propagation=config.model_kwargs.spn,
        resolution=config.resolution,
        height_range=config.height_range,
        window=config.patch_size,
        licence=_joined([SHARE_ALIKE.get(config.dem, ""), config.licence or "", earlier.licence if earlier else ""]),
        attribution=_joined([config.attribution or "", earlier.attribution if earlier else ""]),
        trained_on=_joined([trained_on, f"begun with {earlier.name} ({earlier.trained_on})" if earlier else ""]),
        simulated=config.simulated,
    )
    if earlier and earlier.simulated:
        return replace(info, simulated=True)
    return info


def _joined(statements: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in statements if text not in ("", NOT_STATED))) or NOT_STATED
