"""A trained network made to take other guides."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from jspsr_models.encoder import DEM
from jspsr_models.network import JSPSR

# What takes the features of all branches side by side, in the decoder after its own.
_MIXING = re.compile(
    r"(encoder\.levels\.[1-3]\.dem\.0\.(conv1|shortcut\.0)|decoder\.(up[1-3]\.unit|head)\.(conv|attention\.reduce))\.weight"
)
# Where nothing stands before them: the encoder, and the lowest level of the decoder.
_BRANCHES_ONLY = ("encoder.", "decoder.up3.")


def with_guides(network: JSPSR, inputs: Sequence[str]) -> JSPSR:
    """Return a network with the guides `inputs` that goes on from `network`, which stays as it is.

    Guides that both take keep their branch. That of a new guide is random, and nothing hears it until training changes
    that: with guides added, heights are the same. That of a guide left out is dropped, with the units of the channel
    attention that say least about what stays; heights then differ, as the network has relied on it.

    Raises:
        ValueError: for a set of guides that no network takes.
    """
    adapted = JSPSR(inputs=inputs, num_feature=network.num_feature, propagation=network.propagation)
    known, new = network.state_dict(), adapted.state_dict()
    with torch.no_grad():
        for name in new.keys() & known.keys():
            if new[name].shape == known[name].shape:
                new[name].copy_(known[name])
        for name in filter(_MIXING.fullmatch, new):
            own = () if name.startswith(_BRANCHES_ONLY) else ("decoder",)
            before, after = (*own, DEM, *network.inputs), (*own, DEM, *adapted.inputs)
            if name.endswith("reduce.weight"):
                expand = name.replace("reduce", "expand")
                old = known[name], known[expand].transpose(0, 1)
                _mix_attention(old, before, (new[name], new[expand].transpose(0, 1)), after)
            else:
                _mix(known[name], before, new[name], after)
    return adapted.train(network.training)


def _mix(old: Tensor, before: Sequence[str], new: Tensor, after: Sequence[str]) -> None:
    """Fill `new`, whose channels belong in equal parts to the sources `after`, from `old`, whose belong to `before`.

    Both are (outputs, channels, ...); what `old` says nothing about becomes 0.
    """
    new.zero_()
    parts = _parts(old, before)
    for source, part in _parts(new, after).items():
        if source in parts:
            part.copy_(parts[source])


def _mix_attention(
    old: tuple[Tensor, Tensor], before: Sequence[str], new: tuple[Tensor, Tensor], after: Sequence[str]
) -> None:
    """As `_mix`, for the two layers of an attention, (units, channels, 1, 1): what units see, and what they say.

    It has a unit for every 16 channels. New ones see something random, and say nothing yet.
    """
    stays = [part for source, part in _parts(old[1], before).items() if source in after]
    loudness = torch.cat(stays, dim=1).flatten(1).norm(dim=1)
    units = loudness.topk(min(len(loudness), len(new[0]))).indices.sort().values
    new[1].zero_()
    for known, weights in zip(old, new, strict=True):
        _mix(known[units], before, weights[: len(units)], after)


def _parts(weights: Tensor, sources: Sequence[str]) -> dict[str, Tensor]:
    """What belongs to each of the sources, as views."""
    return dict(zip(sources, weights.chunk(len(sources), dim=1), strict=True))
