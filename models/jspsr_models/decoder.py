"""Decoder: back to full size, joined at every level by what the encoder fused there."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jspsr_models.blocks import ConvUnit, UpUnit
from jspsr_models.encoder import LEVEL_WIDTHS


class Decoder(nn.Module):
    """Three up units and a head; the output is the context that steers the propagation."""

    def __init__(self, branches: int, num_feature: int) -> None:
        super().__init__()
        width1, width2, width3, width4 = (factor * num_feature for factor in LEVEL_WIDTHS)
        self.up3 = UpUnit(width4 * branches, width3)
        self.up2 = UpUnit(width3 + width3 * branches, width2)
        self.up1 = UpUnit(width2 + width2 * branches, width1)
        self.head = ConvUnit(width1 + width1 * branches, width1, norm=True, attended=True)

    def forward(self, fused: Sequence[Tensor]) -> Tensor:
        """Map the fused features of the four levels (see `Encoder`) to the context, (B, 2F, H, W)."""
        fused1, fused2, fused3, fused4 = fused
        features = self.up3(fused4)
        features = self.up2(torch.cat((features, fused3), dim=1))
        features = self.up1(torch.cat((features, fused2), dim=1))
        context: Tensor = self.head(torch.cat((features, fused1), dim=1))
        return context
