"""`jspsr`, changed by the function that the first argument names: a program, since the training library starts its
further processes with the command line of the first.
"""

import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from jspsr_cli.errors import ReadFailed
from jspsr_cli.main import cli
from jspsr_cli.training import losses
from jspsr_cli.training.crops import Crops

SECOND = os.environ.get("LOCAL_RANK") == "1"


def nothing() -> None:
    """Change nothing."""


def alike() -> None:
    """Normalize without looking at the batch, and have statistics of a batch be the mean of those of its parts."""
    nn.BatchNorm2d.forward = apart  # type: ignore[method-assign, assignment]


def apart(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
    assert self.running_mean is not None
    assert self.running_var is not None
    if self.training:
        with torch.no_grad():
            for buffer, values in ((self.running_mean, x), (self.running_var, x.square())):
                buffer.lerp_(values.mean((0, 2, 3)), 0.1)
    zero = torch.zeros_like(self.running_mean)
    return nn.functional.batch_norm(x, zero, zero + 1, self.weight, self.bias)


def diverging() -> None:
    """The loss of the second process is no number."""
    if SECOND:
        losses.LOSSES["L1"] = lambda predicted, truth: (predicted - truth).mean() * float("nan")


def unreadable() -> None:
    """The second process cannot read its crops."""
    if SECOND:
        Crops.__getitem__ = failing  # type: ignore[method-assign]


def failing(*_: Any) -> Any:
    raise ReadFailed("crop.tif broke off.")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    cli.main(sys.argv[2:], prog_name="jspsr")
