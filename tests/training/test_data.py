"""How long training waits for its batches."""

import os
from collections.abc import Callable

import pytest
from torch.utils.data import Dataset

from jspsr_cli.training import data
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops
from jspsr_cli.training.data import CropData, TimedLoader
from tests.training.dataset import training_samples
from tests.training.running import Run


class Clock:
    """Time that passes where it is said to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow(Dataset[int]):
    """Takes 2 seconds an item."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        self._clock.now += 2
        return index


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(data, "time", clock)
    return clock


def test_waiting_is_the_time_of_reading_in_the_epoch(clock: Clock) -> None:
    loader = TimedLoader(Slow(clock), batch_size=2)  # type: ignore[arg-type]
    for _ in range(2):
        for _ in loader:
            clock.now += 5
        assert loader.waited == 12


@pytest.mark.parametrize(("asked", "cores", "used"), [(4, 2, 2), (128, 64, 6), (1, 8, 1), (0, 8, 0)])
def test_no_more_workers_than_cores_and_crops(
    config: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, used: int
) -> None:
    """Six crops; the library's loader warns of more workers than cores, and starts none before it is used."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(cores)}, raising=False)
    settings = config(workers=asked)
    crops = Crops(training_samples(settings), settings, training=True)
    loader = CropData(settings, training=crops, validation=crops).train_dataloader()
    assert (loader.num_workers, loader.persistent_workers) == (used, used > 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_says_its_share(run: Run, workers: int) -> None:
    shares: list[float] = []
    run(keys={"workers": workers}, on_epoch=lambda epoch: shares.append(epoch.waited))
    assert all(0 < share < 1 for share in shares)
