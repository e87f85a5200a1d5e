"""Encoder: one branch a source, fused by concatenation after every level."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from jspsr_models.blocks import ConvUnit, ResidualBlock, full_precision
from jspsr_models.inputs import GUIDE_CHANNELS

DEM = "dem"
# Width of each level in units of `num_feature`, and the stride its first block takes.
LEVEL_WIDTHS = (2, 4, 8, 16)
LEVEL_STRIDES = (1, 2, 2, 2)


class Encoder(nn.Module):
    """Four levels of residual blocks for the DEM and for every guide.

    Guides go on from their own features, the DEM branch from the fused ones.
    """

    def __init__(self, inputs: Sequence[str], num_feature: int) -> None:
        super().__init__()
        branches = (DEM, *inputs)
        self.stems = nn.ModuleDict({branch: _stem(branch, num_feature) for branch in branches})
        self.levels = nn.ModuleList()
        widths = dict.fromkeys(branches, num_feature)
        for factor, stride in zip(LEVEL_WIDTHS, LEVEL_STRIDES, strict=True):
            width = factor * num_feature
            self.levels.append(nn.ModuleDict({branch: _level(widths[branch], width, stride) for branch in branches}))
            widths = dict.fromkeys(inputs, width) | {DEM: width * len(branches)}

    def forward(self, sources: dict[str, Tensor]) -> list[Tensor]:
        """Return the fused features of the four levels.

        Args:
            sources: the DEM and the guides by name, in the order of the branches, each (B, C, H, W).

        Returns:
            Level i (from 0) has shape (B, 2**(i+1) * F * branches, H / 2**i, W / 2**i).
        """
        first, *deeper = (cast(nn.ModuleDict, level) for level in self.levels)
        features = {}
        for branch, source in sources.items():
            # What is still height above all loses most by rounding: benchmarks/README.md, half precision.
            with full_precision(source) if branch == DEM else nullcontext():
                features[branch] = first[branch](self.stems[branch](source))
        fused_levels = [torch.cat(list(features.values()), dim=1)]
        for blocks in deeper:
            features[DEM] = fused_levels[-1]
            features = {branch: blocks[branch](features[branch]) for branch in features}
            fused_levels.append(torch.cat(list(features.values()), dim=1))
        return fused_levels


def _stem(branch: str, num_feature: int) -> ConvUnit:
    # Only the image, whose colours have no absolute meaning, is normalised.
    return ConvUnit(GUIDE_CHANNELS.get(branch, 1), num_feature, kernel=5, norm=branch == "image")


def _level(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels_in, channels_out, stride=stride),
        ResidualBlock(channels_out, channels_out),
    )
