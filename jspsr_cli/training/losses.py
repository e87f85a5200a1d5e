"""Losses on scaled heights, each (B, 1, H, W) float32 to one number.

Source: Cai & Wilson, Remote Sensing 2025, 17(21), 3591; the names are those of the published training files.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from jspsr_models.blocks import full_precision

# Derivative by Sobel's kernel, in units per pixel: the weights of one side sum to a half.
SOBEL = ((-1 / 8, 0.0, 1 / 8), (-2 / 8, 0.0, 2 / 8), (-1 / 8, 0.0, 1 / 8))

# The reverse Huber loss is linear up to this share of the largest error of a batch (Laina et al., "Deeper depth
# prediction with fully convolutional residual networks", 3DV 2016, equation 1).
BERHU_SHARE = 0.2


def l1(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference."""
    return functional.l1_loss(predicted, truth)


def l2(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference."""
    return functional.mse_loss(predicted, truth)


def gradient(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the Sobel derivatives, both directions together, edges replicated."""
    across = torch.tensor(SOBEL, dtype=predicted.dtype, device=predicted.device)
    kernels = torch.stack((across, across.T))[:, None]
    # The derivative is linear, so that of the difference is the difference of the two.
    padded = functional.pad(predicted - truth, (1, 1, 1, 1), mode="replicate")
    with full_precision(padded):
        return functional.conv2d(padded, kernels).abs().mean()


def berhu(predicted: Tensor, truth: Tensor) -> Tensor:
    """Reverse Huber loss: absolute where the error is small, squared above a fifth of the largest."""
    error = (predicted - truth).abs()
    knee = (BERHU_SHARE * error.max()).detach().clamp_min(torch.finfo(error.dtype).tiny)
    return torch.where(error <= knee, error, (error.square() + knee.square()) / (2 * knee)).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"L1": l1, "L2": l2, "Grad": gradient, "berhu": berhu}


def losses_of(predicted: Tensor, truth: Tensor, *, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Each loss that has a weight, by name, and their weighted sum as `total`.

    A pixel without truth (NaN) counts as predicted without error, and passes no gradient.
    """
    known = ~torch.isnan(truth)
    predicted, truth = (torch.where(known, values, 0.0) for values in (predicted, truth))
    parts = {name: LOSSES[name](predicted, truth) for name in weights}
    return parts | {"total": torch.stack([weight * parts[name] for name, weight in weights.items()]).sum()}
