"""Windows through the network where the device is small."""

from typing import Any

import numpy as np
import pytest
import torch

from jspsr_cli.errors import PredictionFailed
from jspsr_cli.predict import WindowInput, WindowPredictor, default_batch
from jspsr_cli.scaling import HeightScale


class Device:
    """A network that returns its DEM, on a device with memory for `most` windows."""

    def __init__(self, most: int, error: type[RuntimeError] = torch.OutOfMemoryError, says: str = "no memory") -> None:
        self.most, self.asked = most, list[int]()
        self.error, self.says = error, says

    def __call__(self, dem: torch.Tensor, **_guides: Any) -> torch.Tensor:
        self.asked.append(len(dem))
        if len(dem) > self.most:
            raise self.error(self.says)
        return dem


def predictor(network: Device) -> WindowPredictor:
    return WindowPredictor(network, scale=HeightScale(-45.0, 200.0), device=torch.device("cpu"), precision="float32")


def windows(count: int) -> list[WindowInput]:
    return [
        WindowInput(col=col, heights=np.full((1, 8, 8), 100.0 + col, np.float32), base=90.0, guides={})
        for col in range(count)
    ]


FULL = (
    (torch.OutOfMemoryError, "CUDA out of memory"),
    (RuntimeError, "MPS backend out of memory (MPS allocated: 1 GB)"),
)


@pytest.mark.parametrize(("error", "says"), FULL)
def test_batches_become_smaller_where_memory_ends(error: type[RuntimeError], says: str) -> None:
    network = Device(3, error, says)
    known = predictor(network)
    found = known.heights(windows(10))
    assert [round(float(heights.mean())) for heights in found] == [100 + col for col in range(10)]
    assert network.asked == [10, 5, 2, 2, 2, 2, 2]
    known.heights(windows(10))
    assert network.asked[7:] == [2] * 5, "what did not fit is not tried again"


def test_a_window_that_does_not_fit_alone_ends_the_work() -> None:
    with pytest.raises(PredictionFailed, match=r"not enough memory for one window: use a smaller --window"):
        predictor(Device(most=0)).heights(windows(2))


def test_other_errors_are_raised_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        predictor(Device(3, RuntimeError, "shapes do not fit")).heights(windows(10))


@pytest.mark.parametrize(("threads", "at_a_time"), [(1, 4), (4, 4), (6, 6), (64, 16)])
def test_a_cpu_takes_a_window_for_each_thread(threads: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert default_batch(torch.device("cpu"), 128) == at_a_time
    assert default_batch(torch.device("cpu"), 64) == 4 * at_a_time
    assert default_batch(torch.device("cpu"), 1024) == 1
