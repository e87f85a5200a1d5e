"""Calls in several threads, whose results come as they are ready."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

# Seconds that calls under way have to notice that they are no longer wanted.
PATIENCE = 1.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, threads: int, cancel: Callable[[], object]
) -> Generator[tuple[Item, Result]]:
    """Each of `items` with what `function` made of it, in the order in which they are finished.

    The first error of a call is raised. `cancel` is called when no more results are wanted. Calls under way are then
    waited for a moment only, since a server that is silent must not hold up a Ctrl-C: what they do when they wake from
    that must harm nobody.
    """
    todo: SimpleQueue[Item] = SimpleQueue()
    done: SimpleQueue[tuple[Item, Result] | BaseException] = SimpleQueue()
    for item in items:
        todo.put(item)
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            try:
                item = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((item, function(item)))
            except BaseException as error:
                done.put(error)

    started = [
        threading.Thread(target=work, name=f"jspsr-fetch-{number}", daemon=True)
        for number in range(min(threads, len(items)))
    ]
    for thread in started:
        thread.start()
    try:
        for _ in items:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        ended.set()
        cancel()
        deadline = time.monotonic() + PATIENCE
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
