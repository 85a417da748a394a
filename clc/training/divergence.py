"""When a run diverges, and what it goes back to then."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clc.training.checkpoint import Modules

SLOWER = 0.6
"""What is left of the learning rate each time that a run goes back."""
_RUNAWAY = 4.0  # times the usual loss
_FEWEST = 20  # steps whose mean loss says something: one quality a batch makes single ones differ by a factor of ten
_MEMORY = 0.8


class LossWatch:
    """Knows a usual loss from one that runs away."""

    def __init__(self) -> None:
        self._usual: float | None = None

    def diverged(self, losses: Sequence[float]) -> bool:
        """Whether one of the losses of a row of the log is not finite, or their mean is far too high."""
        if not all(map(math.isfinite, losses)):
            return True
        if len(losses) < _FEWEST:
            return False
        mean = sum(losses) / len(losses)
        if self._usual is not None and mean > _RUNAWAY * self._usual:
            return True
        self._usual = mean if self._usual is None else _MEMORY * self._usual + (1 - _MEMORY) * mean
        return False


class Snapshot:
    """Weights, moving average and moments at one step, kept in memory. All are restored in place: a captured step goes
    on with the same tensors.
    """

    def __init__(self, modules: Modules, step: int) -> None:
        self._modules = modules
        self._kept: dict[str, Tensor] = {}
        self.take(step)

    @torch.no_grad()
    def take(self, step: int) -> None:
        """Keep what is there now."""
        self.step = step
        for name, tensor in self._tensors().items():
            if name in self._kept:
                self._kept[name].copy_(tensor)
            else:
                self._kept[name] = tensor.detach().clone()

    @torch.no_grad()
    def restore(self) -> None:
        """Put it back. Moments that were not there yet begin again."""
        for name, tensor in self._tensors().items():
            kept = self._kept.get(name)
            if kept is None:
                tensor.zero_()
            else:
                tensor.copy_(kept)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            f"{module}/{name}": tensor
            for module, each in self._modules.named().items()
            for name, tensor in each.state_dict(keep_vars=True).items()
        }
        for kind, optimiser in self._modules.optimisers().items():
            numbers = {id(each): i for i, each in enumerate(p for g in optimiser.param_groups for p in g["params"])}
            for parameter, state in optimiser.state.items():
                tensors |= {f"{kind}/{numbers[id(parameter)]}/{name}": tensor for name, tensor in state.items()}
        return tensors
