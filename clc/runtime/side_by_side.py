"""Many photos side by side, each on one core: faster than one after the other, each on all."""

import copy
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from typing import Self, TypeVar

import torch

from clc.errors import ProfileError
from clc.runtime.cores import available_cores
from clc.runtime.prefetch import in_parallel

Item = TypeVar("Item")
Result = TypeVar("Result")


class SideBySide:
    """What works on one item at a time, and of which copies work on others meanwhile.

    device: where it computes. threads: cores to use at most. Raises ProfileError for threads below 1.
    """

    def __init__(self, device: torch.device, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ProfileError(f"threads must be at least 1, not {threads}")
        self.device = device
        self.threads = threads
        self._copies: list[Self] = []  # that no thread has now

    def for_each(
        self, work: Callable[[Self, Item], Result], items: Iterable[Item], *, jobs: int | None = None
    ) -> Iterator[Result]:
        """`work` with a copy of this, for each item, side by side; results in the order of the items.

        jobs: so many at once, each on one core; what comes out does not depend on it. Default: one for each core that
        this may use, and on a GPU, one. Items are taken, and held in memory, a few ahead of the results. A single item
        of a list has all cores.
        Raises what `work` and `items` raise, where their turn has come, and ProfileError for jobs below 1.
        """
        if jobs is not None and jobs < 1:
            raise ProfileError(f"jobs must be at least 1, not {jobs}")
        cores = min(available_cores(), self.threads or sys.maxsize)
        threads = jobs or (cores if self.device.type == "cpu" else 1)
        if isinstance(items, Sized):
            if len(items) == 1:
                return map(partial(work, self), items)
            threads = max(1, min(threads, len(items)))
        return self._on_threads(work, iter(items), threads)

    def _on_threads(
        self, work: Callable[[Self, Item], Result], items: Iterator[Item], threads: int
    ) -> Iterator[Result]:
        own = threading.local()
        taken: list[Self] = []

        def do(item: Item) -> Result:
            if not hasattr(own, "copy"):
                own.copy = self._idle_copy()
                taken.append(own.copy)
            return work(own.copy, item)

        before = torch.get_num_threads()
        try:
            yield from in_parallel(do, items, threads=threads, prepare=partial(torch.set_num_threads, 1))
        finally:
            torch.set_num_threads(before)  # what a thread sets, later ones begin with
            self._copies += taken

    def _idle_copy(self) -> Self:
        try:
            return self._copies.pop()
        except IndexError:
            return copy.copy(self)
