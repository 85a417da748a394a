"""One process or several: what `torchrun` started, and how they agree."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from clc.errors import TrainingError
from clc.model.network import CompressionModel
from clc.runtime.child import STOP_WITH_PARENT


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together.

    >>> Processes().first
    True
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that logs, writes and publishes."""
        return self.rank == 0

    def share(self, devices: int) -> range:
        """Which of a step's batches this process computes. Raises TrainingError if they cannot be spread evenly."""
        if devices % self.count:
            raise TrainingError(
                f"{devices} batches a step cannot be spread over {self.count} processes; "
                f"set devices to a multiple of {self.count}"
            )
        return range(self.rank, devices, self.count)

    def wrapped(self, model: CompressionModel) -> torch.nn.Module:
        """The model, with gradients averaged over all processes."""
        if self.count == 1:
            return model
        # Which parameters a batch reaches depends on whether it has references.
        return DistributedDataParallel(model, find_unused_parameters=True)

    def largest(self, *values: float) -> tuple[float, ...]:
        """Each value's maximum over all processes, so that all act on the same numbers."""
        if self.count == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            shared = shared.cuda()
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return tuple(shared.tolist())

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Each value's mean over all processes."""
        if self.count == 1:
            return values
        shared = torch.tensor(list(values.values()), dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            shared = shared.cuda()
        distributed.all_reduce(shared)
        return dict(zip(values, (shared / self.count).tolist(), strict=True))


def own_device(name: str) -> str:
    """The device of this process where `name` is that of all: the GPU of its number for "cuda"."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if name == "cuda" else name


@contextmanager
def process_group(device: torch.device) -> Iterator[Processes]:
    """The processes that `torchrun` started, for as long as the block runs; this one alone without it.

    They end with their parent: torchrun starts them in sessions of their own, where they would outlive it.
    """
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    if STOP_WITH_PARENT is not None:
        STOP_WITH_PARENT()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
