"""A trained network made to take other guides."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from jspsr_models.encoder import DEM
from jspsr_models.network import JSPSR

# What takes the features of all branches side by side, in the decoder after its own.
_MIXING = re.compile(
    r"(encoder\.levels\.[1-3]\.dem\.0|decoder\.(up[1-3]\.unit|head))\.(conv1|shortcut\.0|conv|attention\..+)\.weight"
)
# Where nothing stands before them: the encoder, and the lowest level of the decoder.
_BRANCHES_ONLY = ("encoder.", "decoder.up3.")


def with_guides(network: JSPSR, inputs: Sequence[str]) -> JSPSR:
    """Return a network with the guides `inputs` that goes on from `network`, which stays as it is.

    Guides that both take keep their branch. That of a new guide is random, and nothing hears it until training changes
    that: with guides added, heights are the same. That of a guide left out is dropped; heights then differ, as the
    network has relied on it.

    Raises:
        ValueError: for a set of guides that no network takes.
    """
    adapted = JSPSR(inputs=inputs, num_feature=network.num_feature, propagation=network.propagation)
    known = network.state_dict()
    with torch.no_grad():
        for name, weights in adapted.state_dict().items():
            if _MIXING.fullmatch(name):
                own = () if name.startswith(_BRANCHES_ONLY) else ("decoder",)
                _mix(name, known[name], (*own, DEM, *network.inputs), weights, (*own, DEM, *adapted.inputs))
            elif name in known:
                weights.copy_(known[name])
    return adapted.train(network.training)


def _mix(name: str, old: Tensor, before: Sequence[str], new: Tensor, after: Sequence[str]) -> None:
    """Fill `new`, whose channels belong in equal parts to the sources `after`, from `old`, whose belong to `before`."""
    if name.endswith("attention.expand.weight"):
        old, new = old.transpose(0, 1), new.transpose(0, 1)
    # Channel attention has a unit more for every 16 channels: what new ones see is random, and they say nothing yet.
    units = min(len(old), len(new))
    new[: units if name.endswith("attention.reduce.weight") else None] = 0
    parts = dict(zip(before, old.chunk(len(before), dim=1), strict=True))
    for source, part in zip(after, new.chunk(len(after), dim=1), strict=True):
        if source in parts:
            part[:units] = parts[source][:units]
