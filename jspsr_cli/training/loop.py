"""The story of `train`: training file -> samples -> crops -> network -> epochs -> weights."""

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from jspsr_cli.errors import InvalidOption, PredictionFailed
from jspsr_cli.predict import exact_products, resolve_device
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops
from jspsr_cli.training.data import CropData
from jspsr_cli.training.dfc30 import find_samples
from jspsr_cli.training.folder import BOARD, RunFolder, TrainReport
from jspsr_cli.training.keeping import STATE, EpochReport, RunKeeper, WholeCheckpoints
from jspsr_cli.training.module import TrainingModule
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.start import first_network
from jspsr_cli.training.stopping import Stopper
from jspsr_cli.types import Progress

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class Hardware:
    """Where to train. `device` as everywhere; `devices` how many of its kind; `strategy` and `nodes` are handed to
    the training library.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"


def train(
    config: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    data_root: str | None = None,
    epochs: int | None = None,
    start: str | None = None,
    restart: bool = False,
    hardware: Hardware | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a network as a training file says; the same call again goes on where the last one ended.

    Args:
        config: the training file, see `training.config.TrainingConfig`.
        output: folder of the run; by default the name of the run in `work_root`, else in `runs`.
        data_root: folder of the training set, in place of that of the file.
        epochs: in place of those of the file.
        start: weights to begin with, by name or path, in place of `model_kwargs.checkpoint`.
        restart: throw away what the folder holds of an earlier run.
        hardware: where to train.
        on_epoch: called after every epoch.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights to begin with cannot be loaded.
        KeyboardInterrupt: after Ctrl-C; the last whole epoch is kept.
    """
    begun = time.monotonic()
    settings, found = read_config(config, data_root=data_root, epochs=epochs)
    if start is not None:
        begin = settings.model_kwargs.model_copy(update={"checkpoint": start})
        settings = settings.model_copy(update={"model_kwargs": begin})
    training = find_samples(settings, settings.train_set)
    validation = find_samples(settings, settings.valid_set)
    found += training.warnings + validation.warnings
    network, info = first_network(settings)
    folder = RunFolder(Path(output or Path(settings.work_root or "runs") / settings.name), settings)
    with folder.taken(restart=restart):
        if earlier := folder.finished():
            return replace(earlier, already_done=True, seconds=0.0, warnings=found)
        resumed = folder.begin()
        crops = Crops(training, settings, training=True)
        data = CropData(settings, training=crops, validation=Crops(validation, settings, training=False))
        module = TrainingModule(network, settings, training=crops, folder=folder.path)
        keeper = RunKeeper(folder.path, settings, info, on_epoch=on_epoch, progress=progress)
        stopper = Stopper()
        with _quiet(), stopper.watching():
            trainer = make_trainer(settings, hardware or Hardware(), folder.path, [keeper, stopper])
            _fit(trainer, module, data, state=folder.path / STATE if resumed else None)
        report = folder.report(keeper, epochs=trainer.current_epoch, resumed_after=resumed, begun=begun, warnings=found)
        if trainer.is_global_zero:
            folder.finish(report)
    return report


def make_trainer(config: TrainingConfig, where: Hardware, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """The training library's loop: all of it but the steps, the evaluation and what is kept.

    Raises:
        InvalidOption: the hardware is not there, or cannot do what is asked.
    """
    if config.early_stop.patience is not None:
        monitor = config.early_stop.monitor
        # Before the keeper, whose state holds how long it has been waiting.
        early = EarlyStopping(monitor, patience=config.early_stop.patience, strict=False,
                              mode="max" if monitor == "val_psnr" else "min",
                              check_on_train_epoch_end=False)  # fmt: skip
        callbacks = [early, *callbacks]
    device = resolve_device(where.device)
    if device.type == "cpu" and config.precision == "float16":
        raise InvalidOption("precision: float16 is not for CPUs: use float32 or bfloat16.")
    several = where.devices > 1 or where.nodes > 1 or device.index is None
    try:
        return pl.Trainer(
            accelerator=device.type,
            devices=where.devices if several else [device.index],
            num_nodes=where.nodes,
            strategy=where.strategy,
            precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
            max_epochs=config.epochs,
            check_val_every_n_epoch=config.val_interval,
            callbacks=callbacks,
            logger=TensorBoardLogger(folder, name="", version=BOARD),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            plugins=[WholeCheckpoints()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        line = " ".join(str(error).split())
        raise InvalidOption(f"Training cannot run on that hardware ({line.rstrip('.')}).") from error


def _fit(trainer: pl.Trainer, module: TrainingModule, data: CropData, *, state: Path | None) -> None:
    """Train, from `state` on if there is one. Raises as `train`, after the work has begun."""
    exact_products()
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    except torch.OutOfMemoryError as error:
        size = module.batch_size
        raise PredictionFailed(f"The memory of the device does not suffice for train_batch_size: {size}.") from error
    except SystemExit as stop:
        # What the library makes of Ctrl-C, while it ignores further ones.
        if trainer.interrupted and isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from stop
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the training library's notices and advice off the screen; errors still come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            # lightning 2.6 uses what torch 2.13 would rather not have used
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
