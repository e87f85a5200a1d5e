"""Batches of crops for the training library."""

import os
import time
from collections.abc import Generator
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from jspsr_cli.errors import InvalidConfig
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops, EpochSampler, Item


def _cores() -> int:
    """Cores that this process may use, where the system tells, else those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TimedLoader(DataLoader[Item]):
    """A loader that knows how long the epoch that it is in, or was in last, has `waited` for it, in seconds."""

    waited: float

    def __iter__(self) -> Generator[Any, None, None]:  # type: ignore[override]
        """Give one epoch of batches."""
        self.waited = 0.0
        begun = time.monotonic()
        for batch in super().__iter__():
            self.waited += time.monotonic() - begun
            yield batch
            begun = time.monotonic()


class CropData(pl.LightningDataModule):
    """Shares the crops out over the processes; `train_batch_size` is that of all of them together."""

    def __init__(self, config: TrainingConfig, *, training: Crops, validation: Crops) -> None:
        super().__init__()
        if len(training) < config.train_batch_size:
            raise InvalidConfig(
                f"The training set has {len(training)} crops, fewer than train_batch_size ({config.train_batch_size}), "
                "and incomplete batches are dropped: lower it."
            )
        self._config, self._training, self._validation = config, training, validation

    def train_dataloader(self) -> TimedLoader:
        """Shuffled, the last incomplete batch dropped, as in the paper."""
        world = self.trainer.world_size if self.trainer else 1
        if self._config.train_batch_size % world:
            raise InvalidConfig(
                f"train_batch_size ({self._config.train_batch_size}) cannot be shared out over {world} devices: "
                "make it a multiple of them."
            )
        return self._loader(
            self._training, seed=self._config.seed, batch_size=self._config.train_batch_size // world, drop_last=True
        )

    def val_dataloader(self) -> TimedLoader:
        """In order."""
        return self._loader(self._validation, seed=None, batch_size=self._config.valid_batch_size)

    def _loader(self, crops: Crops, *, seed: int | None, **options: Any) -> TimedLoader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        # More processes than cores or crops only cost memory.
        workers = min(self._config.workers, len(crops), _cores())
        return TimedLoader(
            crops,
            sampler=EpochSampler(crops, seed=seed, rank=rank, world=world),
            num_workers=workers,
            persistent_workers=workers > 0,
            # Its own stream, which nothing is drawn from, in place of that of the whole process.
            generator=torch.Generator().manual_seed(self._config.seed),
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            **options,
        )
