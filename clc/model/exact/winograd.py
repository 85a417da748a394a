"""Convolutions with 3×3 weights by 4 products an output value where the sum has 9: Winograd's F(2×2, 3×3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. In floating point its rounding differs
from that of the sum. On dyadic numbers that fit (see `convolution`) neither rounds, since the transforms only add,
subtract and halve: the result is the same number.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_TILE_BYTES = 2**23  # transformed inputs at once; these stay in caches
_INPUT_GROWTH = 4.0  # a transformed input is a sum of four
_WEIGHTS = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
_OUTPUTS = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]], dtype=torch.float64)


HALVINGS = 2
"""By so many bits transformed weights are finer than weights."""


def transformed(weight: Tensor) -> Tensor:
    """Weights float64 [out, in, 3, 3] → what `convolved` takes, [16, out, in]."""
    halves = _WEIGHTS.to(weight.device)
    return (halves @ weight @ halves.T).permute(2, 3, 0, 1).flatten(0, 1).contiguous()


def largest_sums(weight: Tensor, largest_input: float) -> Tensor:
    """[out]: bounds of all sums on the way to an output value, for transformed weights and inputs up to this large."""
    products = weight.abs().sum(dim=2).T.unflatten(1, (4, 4)) * (_INPUT_GROWTH * largest_input)  # [out, 4, 4]
    outputs = _OUTPUTS.abs().to(weight.device)
    return (outputs @ products @ outputs.T).flatten(1).amax(dim=1)


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """float64 [B, in, h + 2, w + 2] → [B, out, h, w], for transformed weights."""
    batch, channels, height, width = x.shape
    height, width = height - 2, width - 2
    x = F.pad(x, (0, width % 2, 0, height % 2))
    tiles_down, tiles_across = x.shape[2] // 2 - 1, x.shape[3] // 2 - 1
    result = x.new_empty(batch, weight.shape[1], 2 * tiles_down, 2 * tiles_across)
    step = max(1, _TILE_BYTES // (16 * 8 * channels * batch * tiles_across))
    for top in range(0, tiles_down, step):
        bottom = min(top + step, tiles_down)
        seen = x[:, :, 2 * top : 2 * bottom + 2].transpose(0, 1)
        rows = _differences(seen, dim=2)
        inputs = x.new_empty(4, 4, channels, batch, bottom - top, tiles_across)
        for row, into in zip(rows, inputs, strict=True):
            _differences(row, dim=3, into=into)
        products = torch.bmm(weight, inputs.view(16, channels, -1))
        products = products.view(4, 4, -1, batch, bottom - top, tiles_across)
        into = result[:, :, 2 * top : 2 * bottom].transpose(0, 1)
        for i, row in enumerate(_sums(products)):
            for j, value in enumerate(_sums(row)):
                torch.add(value, bias[:, None, None, None], out=into[:, :, i::2, j::2])
    return result[:, :, :height, :width]


def _differences(x: Tensor, dim: int, into: Tensor | None = None) -> Tensor:
    """The four differences of every other four neighbours along a dimension, first in the result."""
    count = x.shape[dim] - 3
    a, b, c, d = (x.narrow(dim, i, count)[(slice(None),) * dim + (slice(None, None, 2),)] for i in range(4))
    if into is None:
        into = x.new_empty(4, *a.shape)
    torch.sub(a, c, out=into[0])
    torch.add(b, c, out=into[1])
    torch.sub(c, b, out=into[2])
    torch.sub(b, d, out=into[3])
    return into


def _sums(x: Tensor) -> tuple[Tensor, Tensor]:
    """[4, …] → the two outputs of a tile along one dimension."""
    return (x[0] + x[1]).add_(x[2]), (x[1] - x[2]).sub_(x[3])
