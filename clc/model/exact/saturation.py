"""Where the exact prior path saturates: values that 16 bits do not hold, so that the prior sees less than there was.

Saturation never makes a picture wrong: encoder and decoder saturate alike, and ŷ stays within half a step of the
latent. It makes the prior blind, and files larger.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from clc.model.exact.convolution import LARGEST_INTEGER, ExactConv2d
from clc.model.priors.prior import Prior
from clc.model.priors.scale import LARGEST_NORMALISED


@dataclass
class Saturated:
    """Of one layer's outputs or inputs: how many values there were, how many at their limit."""

    values: int = 0
    at_limit: int = 0

    def add(self, tensor: Tensor, limit: float) -> None:
        """Count those of a tensor."""
        self.values += tensor.numel()
        self.at_limit += int((tensor.abs() >= limit).sum())


@contextmanager
def counted_saturation(prior: Prior) -> Iterator[dict[str, Saturated]]:
    """Counts, by layer, while a frozen prior is used; "inputs of N" are what the first layer of a slice sees.

    Layers of which nothing was computed are left out.
    """
    counts: dict[str, Saturated] = {}

    def counting(name: str, limit: float) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counts.setdefault(name, Saturated()).add(output, limit)
            if name.endswith(("trunk.0", "fixed")):
                counts.setdefault(f"inputs of {name}", Saturated()).add(inputs[0], LARGEST_NORMALISED)

        return count

    with ExitStack() as stack:
        for name, layer in prior.named_modules():
            if isinstance(layer, ExactConv2d):
                limit = LARGEST_INTEGER * 2.0 ** -int(layer.exponent)
                stack.callback(layer.register_forward_hook(counting(name, limit)).remove)
        yield counts
