"""How many threads one photo is computed on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """PyTorch computes on no more than so many threads inside; None: as it does outside.

    >>> with at_most(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if threads is None or threads >= before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
