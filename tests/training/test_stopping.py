import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from jspsr_cli.training.keeping import EpochReport
from jspsr_cli.training.stopping import Stopper
from tests.training.running import Run


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def watch(stopper: Stopper, *steps: Callable[[], object]) -> None:
    """Run the steps while signals are held back."""
    with stopper.watching():
        for step in steps:
            step()


def test_a_signal_waits_for_the_next_batch() -> None:
    stopper, before = Stopper(), signal.getsignal(signal.SIGINT)
    reached: list[str] = []
    batch, evaluation = stopper.on_train_batch_start, stopper.on_validation_batch_start
    steps = batch, interrupt, lambda: reached.append("the end"), evaluation, lambda: reached.append("another")
    with pytest.raises(KeyboardInterrupt):
        watch(stopper, *steps)
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_does_not_wait() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        watch(Stopper(), interrupt, interrupt, lambda: reached.append("the end"))
    assert reached == []


def test_after_the_last_batch_it_is_raised_at_the_end() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        watch(Stopper(), interrupt, lambda: reached.append("the end"))
    assert reached == ["the end"]


def test_another_error_is_not_replaced() -> None:
    with pytest.raises(ZeroDivisionError):
        watch(Stopper(), interrupt, lambda: 1 / 0)


def test_beside_the_main_thread_signals_stay_as_they_are() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []
    look = lambda: seen.append(signal.getsignal(signal.SIGINT))  # noqa: E731
    thread = threading.Thread(target=watch, args=(Stopper(), look))
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_process_that_follows_leaves_it_to_the_first() -> None:
    reached: list[str] = []
    stopper = Stopper(follows=True)
    watch(stopper, interrupt, stopper.on_train_batch_start, lambda: reached.append("the end"))
    assert reached == ["the end"]
    with pytest.raises(KeyboardInterrupt):
        watch(stopper, interrupt, interrupt)


def test_an_exit_that_a_signal_has_led_to_is_that_of_the_signal() -> None:
    def leave() -> None:
        raise SystemExit

    with pytest.raises(KeyboardInterrupt):
        watch(Stopper(), interrupt, leave)
    with pytest.raises(SystemExit):
        watch(Stopper(), leave)


class Ended(Exception):
    """SIGTERM arrived."""


@pytest.fixture
def sigterm_raises() -> Iterator[None]:
    def end(*_: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_raises")
def test_sigterm_does_not_look_like_success(run: Run) -> None:
    """The training library has a handler of its own for it, which ends with exit code 0."""
    handlers: list[object] = []

    def end(_: EpochReport) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Ended):
        run(on_epoch=end)
    # It makes the processes exchange something, in the midst of what they exchange already.
    assert not type(handlers[0]).__module__.startswith("lightning")
