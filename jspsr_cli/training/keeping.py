"""What a run writes into its folder at the end of every epoch."""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from jspsr_cli.assess.metrics import METRIC_NAMES, Metrics
from jspsr_cli.errors import WriteFailed
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.data import TimedLoader
from jspsr_cli.training.module import Judged, TrainingModule
from jspsr_cli.training.sheets import picture_sheet
from jspsr_cli.types import Progress
from jspsr_models import WeightsInfo, save_network
from jspsr_models.files import appearing

BEST, LAST, STATE, CURVES, SHEETS = "best.safetensors", "last.safetensors", "last.ckpt", "epochs.csv", "sheets"


@dataclass(frozen=True)
class EpochReport:
    """One epoch: `number` from 1; `loss` of the training; `metrics` and `input_rmse` (of the upsampled input) in
    metres if there was an evaluation; `best` whether no earlier one was better. Of the training without the evaluation:
    `samples_per_second`, which are crops, and `waited`, the share of the time in which it waited for them.

    The weights that a run begins with have the number 0, and NaN for what is of the training.
    """

    number: int
    of: int
    loss: float
    learning_rate: float
    metrics: Metrics | None
    input_rmse: float | None
    best: bool
    samples_per_second: float
    waited: float


class WholeCheckpoints(TorchCheckpointIO):
    """Writes the state beside its name and then gives it that: the library's way over /tmp can end half way."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, whole or not at all.

        Raises:
            WriteFailed: the disk is full, or its share was lost.
        """
        del storage_options
        try:
            with appearing(Path(path)) as part:
                torch.save(checkpoint, part)
        except RuntimeError as error:  # which torch makes of what the system says
            raise WriteFailed(f"{path} cannot be written: the disk is full, or its share was lost.") from error


class RunKeeper(pl.Callback):
    """Keeps the best and the last weights, the state to resume from, the curves and the picture sheets.

    What was cut off before the state was written is done again. The weights are written after it, and again from it
    where a run goes on: written before, the best could be those of an epoch that is not as good when it is repeated.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainingConfig,
        info: WeightsInfo,
        *,
        begun_with: WeightsInfo | None,
        on_epoch: Callable[[EpochReport], None] | None,
        progress: Progress | None,
    ) -> None:
        self._folder, self._config, self._info, self._begun_with = folder, config, info, begun_with
        self._on_epoch, self._progress = on_epoch, progress
        self._started = self._seconds = 0.0
        self.best: float | None = None
        self.best_epoch = 0
        self.curves: list[dict[str, float]] = []

    @property
    def epochs(self) -> int:
        """Whole epochs that are done."""
        return int(self.curves[-1]["epoch"]) if self.curves else 0

    @property
    def evaluated(self) -> bool:
        """Whether an epoch was evaluated; the weights that the run began with are none."""
        return any(row["epoch"] and "input_rmse" in row for row in self.curves)

    def state_dict(self) -> dict[str, Any]:
        """What is resumed from, in plain values."""
        return {"best": self.best, "best_epoch": self.best_epoch, "curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.curves = list(state_dict["curves"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights of the state that is gone on from."""
        if self.epochs and trainer.is_global_zero:
            self._write_weights(cast(TrainingModule, pl_module), best=self.best_epoch == self.epochs)

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights that the run begins with, with what is known of them: an epoch has to be better."""
        module, known = cast(TrainingModule, pl_module), self._begun_with
        if module.result is None or known is None:
            return
        report = self._report(0, module.result, loss=math.nan, learning_rate=math.nan, speed=math.nan, waited=math.nan)
        self.curves.append(_row(report))
        if trainer.is_global_zero:
            made = f", made to take {'+'.join(self._info.inputs)}" if self._info.inputs != known.inputs else ""
            theirs = replace(self._info, licence=known.licence, attribution=known.attribution,
                             trained_on=known.trained_on + made, simulated=known.simulated)  # fmt: skip
            save_network(module.result_network, self._folder / BEST, theirs)
            if self._on_epoch:
                self._on_epoch(report)
        module.result, module.pictures = None, {}

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin to measure the time of training."""
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report progress."""
        del pl_module, outputs, batch
        self._seconds = time.monotonic() - self._started
        if self._progress and trainer.is_global_zero:
            done = trainer.current_epoch + (batch_idx + 1) / max(1, trainer.num_training_batches)
            self._progress(done / self._config.epochs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what this epoch made."""
        module = cast(TrainingModule, pl_module)
        loader, measured = cast(TimedLoader, trainer.train_dataloader), trainer.callback_metrics
        crops = trainer.num_training_batches * self._config.train_batch_size
        report = self._report(
            trainer.current_epoch + 1,
            module.result,
            loss=float(measured["train_total"]),
            learning_rate=float(measured["lr"]),
            speed=crops / self._seconds,
            waited=loader.waited / self._seconds,
        )
        self.curves.append(_row(report))
        if trainer.is_global_zero:
            self._write_curves()
            if module.pictures:
                self._write_sheet(module, report)
        # Else an epoch without an evaluation would report the one before.
        module.result, module.pictures = None, {}
        trainer.save_checkpoint(self._folder / STATE)
        if trainer.is_global_zero:
            self._write_weights(module, best=report.best)
            if self._on_epoch:
                self._on_epoch(report)

    def _report(
        self, number: int, result: Judged | None, *, loss: float, learning_rate: float, speed: float, waited: float
    ) -> EpochReport:
        output, before = result or (None, None)
        better = output is not None and self._is_better(getattr(output, METRIC_NAMES[self._config.best_metric]))
        if better and output:
            self.best, self.best_epoch = getattr(output, METRIC_NAMES[self._config.best_metric]), number
        return EpochReport(
            number=number,
            of=self._config.epochs,
            loss=loss,
            learning_rate=learning_rate,
            metrics=output,
            input_rmse=before.rmse if before else None,
            best=better,
            samples_per_second=speed,
            waited=waited,
        )

    def _is_better(self, value: float) -> bool:
        if self.best is None or self._config.best_metric == "PSNR":
            return self.best is None or value > self.best
        return abs(value) < abs(self.best)  # the median error has a sign

    def _write_weights(self, module: TrainingModule, *, best: bool) -> None:
        for name in (BEST,) * best + (LAST,):
            save_network(module.result_network, self._folder / name, self._info)

    def _write_curves(self) -> None:
        names = list(dict.fromkeys(name for row in self.curves for name in row))
        with appearing(self._folder / CURVES) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.curves)

    def _write_sheet(self, module: TrainingModule, report: EpochReport) -> None:
        folder = self._folder / SHEETS
        folder.mkdir(exist_ok=True)
        picture_sheet(
            folder / f"epoch_{report.number:04d}.png",
            module.pictures,
            scale=HeightScale(*self._config.height_range),
            border=self._config.val_border,
            title=f"epoch {report.number}" + (f", RMSE {report.metrics.rmse:.3f} m" if report.metrics else ""),
        )


def _row(report: EpochReport) -> dict[str, float]:
    row = {"epoch": report.number, "learning_rate": report.learning_rate, "train_loss": report.loss}
    if report.metrics and report.input_rmse is not None:
        row |= {f"val_{name}": value for name, value in vars(report.metrics).items()}
        row["input_rmse"] = report.input_rmse
    return row
