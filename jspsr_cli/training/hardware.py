"""Where to train, and the training library's loop there."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import TensorBoardLogger

from jspsr_cli.errors import InvalidOption
from jspsr_cli.predict import resolve_device
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.folder import BOARD
from jspsr_cli.training.keeping import WholeCheckpoints
from jspsr_cli.training.stopping import Patience

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

# Where those that start processes write which one it is: the training library itself, torchrun, srun, jsrun (LSF).
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


@dataclass(frozen=True)
class Hardware:
    """Where to train. `device` as everywhere; `devices` how many of its kind; `strategy` and `nodes` are handed to
    the training library.

    Several GPUs share their batch-norm statistics, so that a batch is worth the same on any number of them. CPUs
    cannot: each normalizes its share of a batch alone.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"

    @property
    def several(self) -> bool:
        """Whether several processes train together, one a device."""
        return self.devices > 1 or self.nodes > 1

    @property
    def follows(self) -> bool:
        """Whether this process was started to follow a first one, which alone writes and reports."""
        return self.several and any(os.environ.get(rank, "0") != "0" for rank in RANKS)


def make_trainer(
    config: TrainingConfig,
    where: Hardware,
    folder: Path,
    callbacks: Sequence[pl.Callback],
    *,
    evaluate_first: bool = False,
) -> pl.Trainer:
    """The training library's loop: all of it but the steps, the evaluation and what is kept.

    With `evaluate_first`, a run that does not go on from a state evaluates its weights before it trains them.

    Raises:
        InvalidOption: the hardware is not there, or cannot do what is asked.
    """
    stop = config.early_stop
    # Before the keeper, whose state holds how long it has been waiting.
    early = [] if stop.patience is None else [Patience(stop.monitor, patience=stop.patience)]
    device = resolve_device(where.device)
    if device.type == "cpu" and config.precision == "float16":
        raise InvalidOption("precision: float16 is not for CPUs: use float32 or bfloat16.")
    try:
        return pl.Trainer(
            accelerator=device.type,
            devices=where.devices if where.several or device.index is None else [device.index],
            num_nodes=where.nodes,
            strategy=where.strategy,
            sync_batchnorm=where.several and device.type == "cuda",  # which torch has for GPUs only
            precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
            max_epochs=config.epochs,
            check_val_every_n_epoch=config.val_interval,
            callbacks=[*early, *callbacks],
            logger=TensorBoardLogger(folder, name="", version=BOARD),
            log_every_n_steps=1,
            num_sanity_val_steps=-1 if evaluate_first else 0,  # the library's word for all of the evaluation
            use_distributed_sampler=False,
            enable_checkpointing=False,
            plugins=[WholeCheckpoints()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        line = " ".join(str(error).split())
        raise InvalidOption(f"Training cannot run on that hardware ({line.rstrip('.')}).") from error


@contextmanager
def quiet() -> Iterator[None]:
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
            # of channels last, which several processes leave with one layer
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
            # early_stop may be emptied in between
            warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
