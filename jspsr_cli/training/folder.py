"""The folder of a run: whose it is, how far it came, and what a finished one reported."""

import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from jspsr_cli.errors import InvalidConfig, OtherWork, OutputExists
from jspsr_cli.locked import check_ours, locked, not_writable
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.keeping import BEST, CURVES, LAST, SHEETS, STATE, RunKeeper
from jspsr_cli.training.module import DIVERGED
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.start import ORIGIN, Origin, sha256_of
from jspsr_models.files import appearing

SETTINGS, BEGUN_WITH, REPORT, BOARD = "config.yaml", "begun_with.json", "report.json", "tensorboard"

# All that a run writes, and `restart` may remove, in this order: without report and state the rest binds nobody.
OURS = (REPORT, STATE, SETTINGS, BEGUN_WITH, BEST, LAST, CURVES, DIVERGED, SHEETS, BOARD)

# Keys that do not decide what the weights become, or (epochs, early_stop) only how far they come.
FREE = {
    "data_root", "work_root", "workers", "preload", "epochs", "early_stop", "valid_batch_size", "metric",
    "skip_incomplete", "val_id_visual", "val_num_visual", "verbose", "monitor_app", "resume", "train_num_visual",
    "val_save_visual",
}  # fmt: skip


# Schedulers whose rates depend on how many epochs there are.
ENDING = ("CosineAnnealingLR", "OneCycleLR")


@dataclass(frozen=True)
class TrainReport:
    """What a run came to. `best` is the value of `best_metric`, after `best_epoch`: 0 if no epoch was better than the
    weights that the run began with; None if no epoch was evaluated. Where it was `already_done`, nothing was trained.
    """

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


class RunFolder:
    """The folder at `path` for a run of `config`; with `restart`, what it holds of an earlier run is thrown away.

    A process that `follows` leaves locking, checking and writing to the first one.
    """

    def __init__(self, path: Path, config: TrainingConfig, *, restart: bool, follows: bool) -> None:
        self.path = path
        self._config, self._restart, self._follows = config, restart, follows

    def finished(self) -> TrainReport | None:
        """The report of a run that came to its end, or None where there is something to do.

        Raises:
            OtherWork: the run is one of other settings.
            InvalidConfig: it has more epochs than the configuration asks for.
        """
        if self._restart:
            return None
        try:
            report = TrainReport(**json.loads((self.path / REPORT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        earlier = self._check_settings()
        self._check_epochs(report.epochs)
        patient = report.stopped_early and earlier.early_stop == self._config.early_stop
        if report.epochs < self._config.epochs and not patient:
            return None
        # The folder may have been moved since.
        return replace(report, folder=str(self.path), weights=str(self.path / Path(report.weights).name))

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the folder while the block runs.

        Raises:
            OutputExists: another process trains in it, or it holds something else than a run.
            OutputNotWritable: it cannot be made or written to.
        """
        if self._follows:
            yield
            return
        check_ours(self.path, OURS, work="run")
        busy = OutputExists(f"Another jspsr trains in {self.path}: wait for it, or give another --output.")
        with locked(self.path, busy=lambda: busy):
            self._remove_parts()
            yield

    def _remove_parts(self) -> None:
        """Remove what processes that were killed had begun to write: the lock says that none is at work."""
        try:
            for pattern in (*(f".{name}.*.part" for name in OURS), f"{SHEETS}/.*.part"):
                for part in self.path.glob(pattern):
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise not_writable(self.path, error) from error

    def epochs_done(self) -> int:
        """Whole epochs that training goes on after, 0 where it begins.

        Raises:
            OtherWork: they are those of other settings.
            InvalidConfig: they are more than asked for, or the state is damaged or holds more than plain values.
        """
        path = self.path / STATE
        if self._restart or not path.exists():
            return 0
        self._check_settings()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            done = int(state["epoch"]) + 1
        except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise InvalidConfig(
                f"{path} is damaged, or holds more than tensors and plain values: --restart begins anew."
            ) from error
        self._check_epochs(done)
        return done

    def origin(self) -> Origin:
        """What the run that goes on was begun with. Raises InvalidConfig where that is damaged."""
        path = self.path / BEGUN_WITH
        try:
            return ORIGIN.validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"{path} is missing or damaged: --restart begins anew.") from error

    def _check_settings(self) -> TrainingConfig:
        """Return the settings of the earlier run, where they lead to the same weights.

        Raises:
            OtherWork: they lead to others.
            InvalidConfig: they are missing or damaged.
        """
        path = self.path / SETTINGS
        try:
            settings = read_config(path)[0]
        except InvalidConfig as error:
            raise InvalidConfig(f"{path} is missing or damaged: --restart begins anew.") from error
        earlier, now = _without_checkpoint(settings), _without_checkpoint(self._config)
        # Rates that end with the last epoch would be others for every epoch before.
        free = FREE - {"epochs"} if self._config.scheduler in ENDING else FREE
        changed = [key for key, value in now.items() if key not in free and earlier[key] != value]
        if not self._same_checkpoint(settings):
            changed.append("model_kwargs.checkpoint")
        if changed:
            raise OtherWork(
                f"{self.path} holds a run with another {', '.join(changed)}: give another --output, or --restart to "
                "throw it away."
            )
        return settings

    def _same_checkpoint(self, earlier: TrainingConfig) -> bool:
        """Whether the first weights are those of the run, by whatever name; it does not need them any more."""
        given = self._config.model_kwargs.checkpoint
        if given is None or given == earlier.model_kwargs.checkpoint:
            return True
        begun_with = self.origin().weights
        return begun_with is not None and sha256_of(given) == begun_with.sha256

    def _check_epochs(self, done: int) -> None:
        if done > self._config.epochs:
            raise InvalidConfig(
                f"{self.path} holds {done} epochs already, and {self._config.epochs} are asked for: give more with "
                "--epochs, or another --output."
            )

    def begin(self, origin: Origin) -> None:
        """Write what the run is begun with, and forget the report of one that ended earlier.

        Raises:
            OutputNotWritable: the folder cannot be written to.
        """
        if self._follows:
            return
        try:
            # Without a state, the best weights are those that a run began with which made no epoch.
            gone = (REPORT, DIVERGED) if (self.path / STATE).exists() else (REPORT, DIVERGED, BEST)
            for name in OURS if self._restart else gone:
                path = self.path / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            settings = yaml.safe_dump(self._config.model_dump(mode="json"), sort_keys=False)
            for name, content in ((SETTINGS, settings.encode()), (BEGUN_WITH, ORIGIN.dump_json(origin, indent=1))):
                with appearing(self.path / name) as part:
                    part.write_bytes(content)
        except OSError as error:
            raise not_writable(self.path, error) from error

    def report(self, keeper: RunKeeper, *, resumed_after: int, warnings: tuple[str, ...]) -> TrainReport:
        """What a run that ends now came to, but for the time it took."""
        epochs, best = keeper.epochs, keeper.best if keeper.evaluated else None
        return TrainReport(
            folder=str(self.path),
            weights=str(self.path / (LAST if best is None else BEST)),
            epochs=epochs,
            stopped_early=epochs < self._config.epochs,
            best_metric=self._config.best_metric,
            best=best,
            best_epoch=keeper.best_epoch,
            already_done=False,
            resumed_after=resumed_after,
            seconds=0.0,
            warnings=warnings,
        )

    def finish(self, report: TrainReport) -> None:
        """Write the report of a run that came to its end."""
        if self._follows:
            return
        with appearing(self.path / REPORT) as part:
            part.write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")


def _without_checkpoint(config: TrainingConfig) -> dict[str, Any]:
    """What `config` says, but for the first weights, which may have been moved."""
    return config.model_dump(exclude={"model_kwargs": {"checkpoint"}})
