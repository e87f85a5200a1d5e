"""Ctrl-C and SIGTERM end the training between two batches."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import lightning.pytorch as pl

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], Any]


class Stopper(pl.Callback):
    """Lets what a signal raises out at the next batch, and at once if a second signal comes.

    An exception in the midst of a library can leave its locks and queues in pieces: before this class, some runs took
    two minutes to end.
    """

    def __init__(self) -> None:
        self._pending: Callable[[], Any] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold signals back while the block runs; what came too late for a batch is raised at its end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, partial(self._hold_back, handler))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._let_out()

    def _hold_back(self, handler: Handler, number: int, frame: FrameType | None) -> None:
        if self._pending is not None:
            handler(number, frame)
        self._pending = partial(handler, number, None)

    def _let_out(self) -> None:
        if self._pending is not None:
            self._pending()

    def on_train_batch_start(self, *_: Any) -> None:
        """Stop here."""
        self._let_out()

    def on_validation_batch_start(self, *_: Any) -> None:
        """Stop here."""
        self._let_out()
