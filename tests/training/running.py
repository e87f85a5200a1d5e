"""Runs on the small set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jspsr_cli.training.folder import TrainReport
from jspsr_cli.training.hardware import Hardware
from jspsr_cli.training.keeping import EpochReport

CPU = Hardware(device="cpu")

Run = Callable[..., TrainReport]


class Stop(Exception):
    """Ends a run from `on_epoch`."""


def stop_after(number: int, error: BaseException) -> Callable[[EpochReport], None]:
    def on_epoch(report: EpochReport) -> None:
        if report.number == number:
            raise error

    return on_epoch


def state_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path / "last.ckpt", weights_only=True)
    return state


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
