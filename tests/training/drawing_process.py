"""What the process that trains does with its loaders, as a program: for tests that send it signals.

It prints the process ids of its loaders, says `stopped by N` upon SIGINT or SIGTERM, and goes on drawing.
"""

import itertools
import os
import signal
import sys
import time

from torch.utils.data import Dataset

from clc.training.data.loaders import started


class ProcessIds(Dataset[int]):
    """Batches that say who drew them."""

    def __getitem__(self, which: tuple[int, int]) -> int:
        return os.getpid()


def main() -> None:
    """Draw from two loaders, without end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: print("stopped by", number, flush=True))
    drawn = started(ProcessIds(), ((step, 0) for step in itertools.count()), 2)
    print(next(drawn), next(drawn), flush=True)
    for who in drawn:
        print("from", who, file=sys.stderr)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
