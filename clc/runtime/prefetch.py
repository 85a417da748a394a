"""Work ahead of a consumer: decoding, which releases the GIL, hides behind a network's forward pass."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order; each is made while the caller works on the one before.

    Raises what `items` raises, where its turn has come.

    >>> list(prefetched(iter("abc")))
    ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # `end` is not among them


def in_parallel(
    function: Callable[[Item], Result], items: Iterator[Item], *, threads: int, prepare: Callable[[], object]
) -> Iterator[Result]:
    """`map` on several threads; results in the order of the items, which are taken as threads get free.

    prepare: what each thread calls first. Raises what `function` and `items` raise, where their turn has come.

    >>> list(in_parallel(str.upper, iter("abc"), threads=2, prepare=lambda: None))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(max_workers=threads, initializer=prepare) as pool:
        coming: deque[Future[Result]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > threads:  # one more than are at work, so that none has to wait for the next item
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a caller that stops early waits for what has begun alone
