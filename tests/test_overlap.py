"""Work done ahead and behind changes neither order nor errors, and nothing piles up."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

import pytest

from jspsr_cli import overlap
from jspsr_cli.overlap import Behind, one_ahead


def nothing() -> None:
    pass


def test_items_come_in_order_and_at_most_one_waits() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            yield number

    used = []
    for number in one_ahead(items(), prepare=nothing, cancel=nothing):
        assert len(made) <= number + 2  # this one, and the one ahead
        used.append(number)
    assert used == list(range(6))


def test_the_next_is_made_while_one_is_used() -> None:
    begun = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        yield 2

    first = next(stream := one_ahead(items(), prepare=nothing, cancel=nothing))
    assert first == 1
    assert begun.wait(30)
    stream.close()


def test_all_is_made_in_one_prepared_thread() -> None:
    prepared: list[int] = []

    def items() -> Iterator[int]:
        yield threading.get_ident()
        yield threading.get_ident()

    threads = set(one_ahead(items(), prepare=lambda: prepared.append(threading.get_ident()), cancel=nothing))
    assert threads == set(prepared)
    assert threading.get_ident() not in threads


def test_an_error_comes_where_the_item_was_due() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    stream = one_ahead(items(), prepare=nothing, cancel=nothing)
    assert next(stream) == 1
    with pytest.raises(OSError, match="gone"):
        next(stream)


def test_leaving_cancels_what_is_being_made() -> None:
    begun, cancelled, ended = (threading.Event() for _ in range(3))

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        assert cancelled.wait(30)
        ended.set()
        yield 2

    stream = one_ahead(items(), prepare=nothing, cancel=cancelled.set)
    next(stream)
    assert begun.wait(30)
    stream.close()
    assert ended.is_set()


def test_a_second_interruption_waits_for_what_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL does not survive that a dataset is closed while it is read."""
    begun, cancelled, ended = (threading.Event() for _ in range(3))

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        assert cancelled.wait(30)
        ended.set()

    def interrupted(calls: list[Future[int]]) -> None:
        if not cancelled.is_set():
            cancelled.set()
            raise KeyboardInterrupt
        wait(calls)

    monkeypatch.setattr(overlap, "wait", interrupted)
    stream = one_ahead(items(), prepare=nothing, cancel=nothing)
    next(stream)
    assert begun.wait(30)
    stream.close()
    assert ended.is_set()


def test_calls_behind_keep_their_order() -> None:
    done: list[int] = []
    with Behind() as behind:
        for number in range(5):
            behind.call(done.append, number)
            assert len(done) >= number  # the ones before are done
    assert done == list(range(5))


@pytest.mark.parametrize("last", [True, False])
def test_an_error_behind_is_raised_soon(last: bool) -> None:
    def fail() -> None:
        raise OSError("full")

    def work() -> None:
        with Behind() as behind:
            behind.call(fail)
            if not last:
                behind.call(nothing)
                raise AssertionError("went on")

    with pytest.raises(OSError, match="full"):
        work()


def test_an_error_of_the_caller_comes_first() -> None:
    def fail() -> None:
        raise OSError("full")

    def work() -> None:
        with Behind() as behind:
            behind.call(fail)
            raise KeyError("mine")

    with pytest.raises(KeyError):
        work()
