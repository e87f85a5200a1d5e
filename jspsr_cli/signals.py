"""Ctrl-C and SIGTERM: raised like errors, so that context managers clean up, but never in the midst of an import.

There libraries print what is raised with its traceback, take it for a missing module, or lose it.
"""

import _thread
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TERMINATED = 128 + signal.SIGTERM

# Modules that import before they begin anything: what ends them then leaves nothing behind.
_EDGE = ("jspsr_cli.main", "jspsr_cli.params", "jspsr_cli.commands.")

# Seconds until it is looked again whether an import is over.
_SOON = 0.05


class Terminated(SystemExit):
    """SIGTERM arrived. Raised like Ctrl-C is, so that context managers clean up."""


def leave(number: int, _frame: FrameType | None) -> None:
    """End the process without a word: the handler while nothing is begun."""
    os._exit(128 + number)


_FREE = (signal.SIG_DFL, signal.default_int_handler, leave)


def leave_at_once() -> None:
    """Let signals end the process without a word, unless it was started to ignore them, until `signals_raise`."""
    for number in SIGNALS:
        if signal.getsignal(number) in _FREE:
            signal.signal(number, leave)


class _Handler:
    """Raises what a signal stands for, and SIGTERM once: `timeout` sends it twice, and the clean-up must go on.

    `alone` means that the process does nothing but this, so that it may be ended.
    """

    terminated = False

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone

    def __call__(self, number: int, frame: FrameType | None) -> None:
        importing = _importing(frame)
        if importing is not None:
            if self._alone and importing.startswith(_EDGE):
                leave(number, frame)
            _thread.start_new_thread(_again, (number,))  # threading's has locks, which the frame may hold
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif not self.terminated:
            self.terminated = True
            raise Terminated(TERMINATED)


def _again(number: int) -> None:
    time.sleep(_SOON)
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)  # to this thread it would not end what the main thread waits for
    else:
        signal.raise_signal(number)


def _importing(frame: FrameType | None) -> str | None:
    """Name of the module that began the import, the outermost of several, in which `frame` is; None where in none."""
    found, within = None, False
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if within and name != "importlib":
            found, within = name, False
        within |= frame.f_code.co_filename.startswith("<frozen importlib._bootstrap")
        frame = frame.f_back
    return found


@contextmanager
def signals_raise() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, also where a library on the way makes another error of it, and let imports be."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) in _FREE}
    outer = signal.getsignal(signal.SIGTERM)
    handler = outer if isinstance(outer, _Handler) else _Handler(alone=leave in before.values())
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    except BaseException as error:
        known = isinstance(error, Terminated) or getattr(error, "exit_code", None) == TERMINATED
        if handler.terminated and not known:
            ended = Terminated(TERMINATED)
            for note in getattr(error, "__notes__", []):
                ended.add_note(note)
            raise ended from error
        raise
    finally:
        for number, old in before.items():
            signal.signal(number, old)
