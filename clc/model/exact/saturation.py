"""Where the exact prior path saturates: values that 16 bits do not hold, so that the prior sees less than there was.

Saturation never makes a picture wrong: encoder and decoder saturate alike, and ŷ stays within half a step of the
latent. It makes the prior blind, and files larger.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from clc.model.exact.convolution import LARGEST_INTEGER, ExactConv2d
from clc.model.priors.prior import Prior
from clc.model.priors.scale import LARGEST_NORMALISED

_FIRST_LAYERS = ("trunk.0", "fixed")


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

    def count(layer: ExactConv2d, name: str) -> None:
        limit = LARGEST_INTEGER * 2.0 ** -int(layer.exponent)
        sums, rounded = layer.sums, layer.rounded

        def counted_sums(x: Tensor, phase: tuple[int, int] | None = None) -> Tensor:
            if name.endswith(_FIRST_LAYERS):
                counts.setdefault(f"inputs of {name}", Saturated()).add(x, LARGEST_NORMALISED)
            return sums(x, phase)

        def counted_rounded(sums: Tensor) -> Tensor:
            output = rounded(sums)
            counts.setdefault(name, Saturated()).add(output, limit)
            return output

        # What forward calls, and what stages call one by one.
        layer.sums, layer.rounded = counted_sums, counted_rounded  # type: ignore[method-assign]

    layers = [(name, layer) for name, layer in prior.named_modules() if isinstance(layer, ExactConv2d)]
    for name, layer in layers:
        count(layer, name)
    try:
        yield counts
    finally:
        for _, layer in layers:
            del layer.sums, layer.rounded
