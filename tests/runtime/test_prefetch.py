"""Items that are made one ahead of their consumer."""

import threading
from collections.abc import Iterator

import pytest

from clc.runtime.prefetch import prefetched


def test_the_next_item_is_made_while_the_caller_holds_one() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    coming = prefetched(items())
    assert next(coming) == 1
    assert second.wait(timeout=10)
    assert list(coming) == [2]


def test_an_error_arrives_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    coming = prefetched(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="gone"):
        next(coming)


def test_a_caller_may_stop_early() -> None:
    coming = prefetched(iter(range(10)))
    assert next(coming) == 0
    coming.close()
