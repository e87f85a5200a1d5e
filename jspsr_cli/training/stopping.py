"""What ends a training before its last epoch: Ctrl-C and SIGTERM, between two batches, and patience."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], Any]


class Patience(EarlyStopping):
    """Stops as the training file says, also where it says otherwise than when the run was begun."""

    def __init__(self, monitor: str, *, patience: int) -> None:
        mode = "max" if monitor == "val_psnr" else "min"
        super().__init__(monitor, patience=patience, strict=False, mode=mode, check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`, but not with its patience."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin no epoch where patience has ended already."""
        del pl_module
        trainer.should_stop = self.wait_count >= self.patience


class Stopper(pl.Callback):
    """Lets what a signal raises out at the next batch, and at once if a second signal comes.

    An exception in the midst of a library can leave its locks and queues in pieces: before this class, some runs took
    two minutes to end. A process that `follows` is ended by the first one, which has the same signal: leaving by
    itself, it would break off the exchange that the first one waits for.
    """

    def __init__(self, *, follows: bool = False) -> None:
        self._follows = follows
        self._before: dict[signal.Signals, Any] = {}
        self._pending: Callable[[], Any] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold signals back while the block runs; what came too late for a batch is raised at its end."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._watch()
        try:
            yield
        except SystemExit:  # of the training library, where the signal met a handler of its own
            self._let_out()
            raise
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        self._let_out()

    def _watch(self) -> None:
        for number, handler in self._before.items():
            if callable(handler):
                signal.signal(number, partial(self._hold_back, handler))

    def on_train_start(self, *_: Any) -> None:
        """Take the place of the training library's handlers, with which SIGTERM would end with exit code 0."""
        self._watch()

    def on_sanity_check_start(self, *_: Any) -> None:
        """Do so before the first evaluation too."""
        self._watch()

    def _hold_back(self, handler: Handler, number: int, frame: FrameType | None) -> None:
        if self._pending is not None:
            handler(number, frame)
        self._pending = partial(handler, number, None)

    def _let_out(self) -> None:
        if self._pending is not None and not self._follows:
            self._pending()

    def on_train_batch_start(self, *_: Any) -> None:
        """Stop here."""
        self._let_out()

    def on_validation_batch_start(self, *_: Any) -> None:
        """Stop here."""
        self._let_out()
