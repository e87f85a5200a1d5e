"""Building blocks of the network, each said once."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

# Bottleneck of the channel attention (Woo et al., CBAM, ECCV 2018).
ATTENTION_REDUCTION = 16


class ChannelAttention(nn.Module):
    """Channel half of CBAM: one factor in 0..1 per channel, from the window's mean and maximum.

    Source: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, equation 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // ATTENTION_REDUCTION
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.expand = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return factors of shape (B, C, 1, 1) for `features` of shape (B, C, H, W)."""
        mean = features.mean(dim=(2, 3), keepdim=True)
        peak = features.amax(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self._bottleneck(mean) + self._bottleneck(peak))

    def _bottleneck(self, pooled: Tensor) -> Tensor:
        expanded: Tensor = self.expand(torch.relu(self.reduce(pooled)))
        return expanded


class ConvUnit(nn.Module):
    """Convolution of stride 1 that keeps the size, then batch norm (instead of a bias) if asked, then ReLU.

    With `attended`, the input is first weighted by its channel attention.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        norm: bool = False,
        attended: bool = False,
    ) -> None:
        super().__init__()
        self.attention = ChannelAttention(channels_in) if attended else None
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(channels_out) if norm else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, Cin, H, W) to (B, Cout, H, W)."""
        if self.attention is not None:
            features = features * self.attention(features)
        features = self.conv(features)
        if self.norm is not None:
            features = self.norm(features)
        return torch.relu_(features)


class ResidualBlock(nn.Module):
    """Basic block of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, Cin, H, W) to (B, Cout, H / stride, W / stride)."""
        shortcut = features if self.shortcut is None else self.shortcut(features)
        residual = torch.relu_(self.norm1(self.conv1(features)))
        residual = self.norm2(self.conv2(residual))
        return torch.relu_(residual + shortcut)


class UpUnit(nn.Module):
    """Attended convolution unit, then a transposed convolution that doubles the size."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.unit = ConvUnit(channels_in, channels_out, norm=True, attended=True)
        self.enlarge = nn.ConvTranspose2d(
            channels_out, channels_out, 3, stride=2, padding=1, output_padding=1, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, Cin, H, W) to (B, Cout, 2H, 2W)."""
        return torch.relu_(self.norm(self.enlarge(self.unit(features))))


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which autocast, where it is on for the device of `tensor`, is off.

    The scaled elevation is logarithmic: half precision would cost it decimetres near the base and metres
    above, so whatever touches it runs in the precision of the parameters.
    """
    device = tensor.device.type
    # Entered only where needed: outside autocast it would do nothing but stand in every exported graph.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
