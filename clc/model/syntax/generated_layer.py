"""A 1×1 convolution whose weights are made from the syntax of a photo."""

import torch
from torch import Tensor, nn

from clc.model.syntax.config import SyntaxConfig
from clc.model.syntax.generator import START_SPREAD


class GeneratedLayer(nn.Module):
    """x + the 1×1 convolution, and a bias, that the numbers say; just x for numbers that are all zero.

    Whatever the numbers are, the weights are bounded.
    """

    def __init__(self, config: SyntaxConfig, channels: int) -> None:
        super().__init__()
        self._channels = channels
        self.first = nn.Linear(config.numbers, config.hidden)
        self.last = nn.Linear(config.hidden, (channels + 1) * channels, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        """x: [B, channels, h, w]; numbers: [B, n], in quantisation steps."""
        steps = numbers.to(self.first.weight.dtype) / START_SPREAD
        values = torch.tanh(self.first(steps)) - torch.tanh(self.first(torch.zeros_like(steps)))
        made = self.last(values).unflatten(1, (self._channels, self._channels + 1)).to(x.dtype)
        changed = torch.einsum("bij,bjhw->bihw", made[:, :, :-1], x)
        return x + changed + made[:, :, -1, None, None]
