"""Work that is done while other work is done: one thing ahead in a thread, one behind in another."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def one_ahead(items: Iterator[T], *, prepare: Callable[[], object], cancel: Callable[[], object]) -> Generator[T]:
    """`items` in their order, each made in a thread while the one before is worked on.

    Only one waits at a time, so memory stays bounded. `prepare` is called in the thread first; `cancel` when no more
    items are wanted, to cut short the one being made. An error in making one is raised where it is asked for.
    """
    thread = ThreadPoolExecutor(1, "jspsr-ahead", initializer=prepare)
    coming = thread.submit(next, items, _END)
    try:
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
    finally:
        cancel()
        coming.cancel()
        _end(thread, coming)


def _end(thread: ThreadPoolExecutor, last: Future[Any] | None) -> None:
    """Wait for the `last` call of `thread`.

    A second Ctrl-C waits too: what the call works on would be closed under its hands, which GDAL does not survive.
    """
    while last and not last.done():
        with suppress(KeyboardInterrupt, SystemExit):
            wait([last])
    thread.shutdown(wait=False)


class Behind:
    """Calls that a thread makes while the caller goes on, one at a time and in order. Use as a context manager.

    An error in a call is raised at the next one, or on leaving.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "jspsr-behind")
        self._last: Future[Any] | None = None

    def __enter__(self) -> "Behind":
        return self

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Wait for the call before, then begin this one."""
        self._wait()
        self._last = self._thread.submit(function, *arguments)

    def _wait(self) -> None:
        if self._last:
            self._last.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._thread, self._last)
        if error is None:
            self._wait()
