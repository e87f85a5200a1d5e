"""The story of `train`: training file -> samples -> crops -> network -> epochs -> weights."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import torch

from jspsr_cli.errors import PredictionFailed
from jspsr_cli.predict import exact_products
from jspsr_cli.training.cautions import cautions
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops
from jspsr_cli.training.data import CropData
from jspsr_cli.training.dfc30 import find_samples
from jspsr_cli.training.folder import RunFolder, TrainReport
from jspsr_cli.training.hardware import Hardware, make_trainer, quiet
from jspsr_cli.training.keeping import BEST, STATE, EpochReport, RunKeeper
from jspsr_cli.training.limits import Beyond
from jspsr_cli.training.module import TrainingModule
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.start import SETS, first_network, other_guides, weights_info
from jspsr_cli.training.stopping import Stopper
from jspsr_cli.training.warned import Warned
from jspsr_cli.types import Progress


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
    on_warning: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a network as a training file says; the same call again goes on where the last one ended.

    Args:
        config: the training file, see `training.config.TrainingConfig`.
        output: folder of the run; by default the name of the run in `work_root`, else in `runs`.
        data_root: folder of the training set, in place of that of the file.
        epochs: in place of those of the file.
        start: weights to begin with, by name or path, in place of `model_kwargs.checkpoint`; guides may be others.
        restart: throw away what the folder holds of an earlier run.
        hardware: where to train.
        on_epoch: called after every epoch, and with number 0 for weights that are begun with.
        on_warning: called with each warning as soon as it is known; all of them are in the report too.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
        WeightsError: the weights to begin with cannot be loaded.
        KeyboardInterrupt: after Ctrl-C; the last whole epoch is kept.
        SystemExit: in a process that follows another one, when the training of both has ended with an error.
    """
    begun, where = time.monotonic(), hardware or Hardware()
    settings, found = read_config(config, data_root=data_root, epochs=epochs)
    warned = Warned(None if where.follows else on_warning)
    warned(*found)
    if start is not None:
        begin = settings.model_kwargs.model_copy(update={"checkpoint": start})
        settings = settings.model_copy(update={"model_kwargs": begin})
    path = Path(output or Path(settings.work_root or "runs") / settings.name)
    folder = RunFolder(path, settings, restart=restart, follows=where.follows)
    if earlier := folder.finished():
        warned(*earlier.warnings)
        return replace(earlier, already_done=True, seconds=0.0, warnings=warned.all)
    with folder.taken():
        report = _run(settings, folder, where, on_epoch=on_epoch, warned=warned, progress=progress)
        report = replace(report, seconds=round(time.monotonic() - begun, 3))
        folder.finish(report)
    return report


def _run(
    settings: TrainingConfig,
    folder: RunFolder,
    where: Hardware,
    *,
    on_epoch: Callable[[EpochReport], None] | None,
    warned: Warned,
    progress: Progress | None,
) -> TrainReport:
    """The training proper; nothing is written before all that can be known to fail has been tried."""
    done = folder.epochs_done()
    sets = {name: find_samples(settings, getattr(settings, name)) for name in SETS}
    network, origin = first_network(settings, sets, earlier=folder.origin() if done else None)
    training, validation = (Crops(sets[name], settings, training=name == "train_set") for name in SETS)
    warned(*(warning for found in sets.values() for warning in found.warnings))
    warned(other_guides(origin.weights, settings.inputs))
    warned(*cautions(settings, pictured_of=len(validation)))
    # Also finds what cannot be read, before hours of training.
    beyond = Beyond() if where.follows else training.beyond() + validation.beyond()
    warned(beyond.sentence)
    data = CropData(settings, training=training, validation=validation)
    module = TrainingModule(network, settings, training=training, validation=validation, folder=folder.path)
    info = weights_info(settings, network, trained_on=sets["train_set"], earlier=origin.weights)
    keeper = RunKeeper(folder.path, settings, info, begun_with=origin.weights, on_epoch=on_epoch, progress=progress)
    stopper = Stopper(follows=where.follows)
    with quiet(), stopper.watching():
        trainer = make_trainer(
            settings, where, folder.path, [keeper, stopper], evaluate_first=origin.weights is not None and not done
        )  # fmt: skip
        folder.begin(origin)
        _fit(trainer, module, data, state=folder.path / STATE if done else None)
    if keeper.evaluated and not keeper.best_epoch:
        warned(f"no epoch was better than the weights that the run began with: {BEST} holds those")
    return folder.report(keeper, resumed_after=done, warnings=warned.all)


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
    finally:
        if trainer.interrupted:
            _end_others(trainer)


def _end_others(trainer: pl.Trainer) -> None:
    """Kill the processes that this one has started: after an error they may wait for it on a GPU, for ever."""
    others = getattr(trainer.strategy.launcher, "procs", [])
    for process in others:
        process.kill()
    others.clear()  # else the library, which watches this very list, kills this process for the end of the others
