"""The folder of a run: whose it is, how far it came, and what a finished one reported."""

import json
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import yaml
from filelock import FileLock, Timeout

from jspsr_cli.errors import InvalidConfig, OutputNotWritable, RunMismatch
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.keeping import BEST, CURVES, LAST, SHEETS, STATE, RunKeeper
from jspsr_cli.training.module import DIVERGED
from jspsr_cli.training.reading import read_config
from jspsr_models.files import appearing

SETTINGS, REPORT, LOCK, BOARD = "config.yaml", "report.json", "jspsr.lock", "tensorboard"

# All that a run writes, and `restart` may remove.
OURS = (SETTINGS, REPORT, BEST, LAST, STATE, CURVES, DIVERGED, SHEETS, BOARD)

# Keys that do not decide what the weights become, or (epochs) only how far they come.
FREE = {
    "data_root", "work_root", "workers", "preload", "epochs", "valid_batch_size", "metric", "licence",
    "attribution", "simulated", "val_id_visual", "val_num_visual", "verbose", "monitor_app", "resume",
    "train_num_visual", "val_save_visual",
}  # fmt: skip


# Schedulers whose rates depend on how many epochs there are.
ENDING = ("CosineAnnealingLR", "OneCycleLR")


@dataclass(frozen=True)
class TrainReport:
    """What a run came to. `best` is the value of `best_metric`; where it was `already_done`, nothing was trained."""

    folder: str
    weights: str
    epochs: int
    stopped_early: bool
    best_metric: str
    best: float | None
    best_epoch: int
    already_done: bool
    resumed_after: int
    seconds: float
    warnings: tuple[str, ...]


def follows() -> bool:
    """Whether this process was started, by the training library or on a further node, to follow a first one."""
    return any(os.environ.get(rank, "0") != "0" for rank in ("LOCAL_RANK", "NODE_RANK"))


class RunFolder:
    """The folder at `path` for a run of `config`."""

    def __init__(self, path: Path, config: TrainingConfig) -> None:
        self.path = path
        self._config = config

    @contextmanager
    def taken(self, *, restart: bool) -> Iterator[None]:
        """Hold the folder while the block runs; with `restart`, empty it first.

        Raises:
            RunMismatch: another process trains in it, or it holds a run of other settings, or something else.
            OutputNotWritable: it cannot be made or written to.
        """
        if follows():
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            strange = [e.name for e in self.path.iterdir() if e.name not in (*OURS, LOCK) and e.name[0] != "."]
            if strange:
                raise RunMismatch(f"{self.path} holds {strange[0]}, which no run wrote: give another --output.")
            with FileLock(self.path / LOCK, blocking=False):
                if restart:
                    self._empty()
                self._check_settings()
                self._write_settings()
                yield
        except Timeout as error:
            raise RunMismatch(f"Another jspsr trains in {self.path}: wait for it, or give another --output.") from error
        except PermissionError as error:
            raise OutputNotWritable(f"{self.path} cannot be written to: {error.strerror}.") from error

    def _empty(self) -> None:
        for name in OURS:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _check_settings(self) -> None:
        if not (self.path / SETTINGS).exists():
            return
        earlier = read_config(self.path / SETTINGS)[0].model_dump()
        # Rates that end with the last epoch would be others for every epoch before.
        free = FREE - {"epochs"} if self._config.scheduler in ENDING else FREE
        changed = [k for k, v in self._config.model_dump().items() if k not in free and earlier[k] != v]
        if changed:
            raise RunMismatch(
                f"{self.path} holds a run with another {', '.join(changed)}: give another --output, or --restart to "
                "throw it away."
            )

    def _write_settings(self) -> None:
        with appearing(self.path / SETTINGS) as part:
            part.write_text(yaml.safe_dump(self._config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")

    def begin(self) -> int:
        """Forget the report of a run that ended earlier, and say after how many epochs training goes on.

        Raises:
            InvalidConfig: see `epochs_done`, or there are more than the configuration asks for.
        """
        done = self.epochs_done()
        if done > self._config.epochs:
            raise InvalidConfig(
                f"{self.path} holds {done} epochs already, and {self._config.epochs} are asked for: give more with "
                "--epochs, or another --output."
            )
        (self.path / REPORT).unlink(missing_ok=True)
        return done

    def epochs_done(self) -> int:
        """Whole epochs that the state holds, 0 where there is none.

        Raises:
            InvalidConfig: it is damaged, or holds more than tensors and plain values.
        """
        path = self.path / STATE
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return int(state["epoch"]) + 1
        except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise InvalidConfig(
                f"{path} is damaged, or holds more than tensors and plain values: --restart begins anew."
            ) from error

    def report(
        self, keeper: RunKeeper, *, epochs: int, resumed_after: int, begun: float, warnings: tuple[str, ...]
    ) -> TrainReport:
        """What a run that ends now came to; `begun` is of the monotonic clock."""
        return TrainReport(
            folder=str(self.path),
            weights=str(self.path / (BEST if keeper.best_epoch else LAST)),
            epochs=epochs,
            stopped_early=epochs < self._config.epochs,
            best_metric=self._config.best_metric,
            best=keeper.best,
            best_epoch=keeper.best_epoch,
            already_done=False,
            resumed_after=resumed_after,
            seconds=round(time.monotonic() - begun, 3),
            warnings=warnings,
        )

    def finished(self) -> TrainReport | None:
        """The report of a run that came to its end, or None where there is something to do."""
        try:
            report = TrainReport(**json.loads((self.path / REPORT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        if not (report.stopped_early or report.epochs >= self._config.epochs):
            return None
        # The folder may have been moved since.
        return replace(report, folder=str(self.path), weights=str(self.path / Path(report.weights).name))

    def finish(self, report: TrainReport) -> None:
        """Write the report of a run that came to its end."""
        with appearing(self.path / REPORT) as part:
            part.write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
