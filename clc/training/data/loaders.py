"""The processes that draw batches ahead.

They are not forked from the one that trains, whose threads (PyTorch's, CUDA's, a server's) may hold locks that nobody
would release in a fork. They are forked from a process without threads, which has imported what they need.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

from clc.runtime import fork_server

_HELD_READY = 4  # batches that each process holds ready
Batch = TypeVar("Batch")


def started(batches: Dataset[Batch], order: Iterable[tuple[int, int]], loaders: int) -> Iterator[Batch]:
    """The batches of `order`, drawn by so many processes, which end with this one or with the iterator.

    A signal to all processes of the group (as by Ctrl-C) is for this one alone: the others draw until it stops.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([fork_server.__name__, type(batches).__module__])
    loader = DataLoader(
        batches,
        None,
        sampler=order,
        num_workers=loaders,
        prefetch_factor=_HELD_READY,
        multiprocessing_context=context,
        worker_init_fn=_begin,
    )
    return iter(loader)


def _begin(_: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """PyTorch's own watch is for the process that forked this one, which waits for this one in turn."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
