"""Where training starts: transforms that already are a good linear block transform.

Residual branches start at zero, so that at first g_a and g_s are linear. Their convolutions are set to an orthonormal
transform of 16×16 blocks, built from a small DCT and levels of 2×2 Haar steps, of which the channels with the largest
variance under a first-order Markov image model are kept; g_s is the transpose. Random weights spend the first
thousands of steps, most of a short CPU budget, on finding something like it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_CORRELATION = 0.95  # between neighbouring pixels, the usual value for photos
_CONTRAST = 0.2  # standard deviation of photos' luma, as a share of the range
_NOISE = 0.002  # share of the ordinary random weights that remains, to tell unused channels apart

# Orthonormal luma and two chroma axes, and how much variance photos have along them.
_COLOUR = nn.functional.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))
_COLOUR_VARIANCE = torch.tensor([1.0, 0.1, 0.03])
_HAAR = torch.tensor([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]) / 2.0


@dataclass(frozen=True)
class HaarStep:
    """Which channels of a Haar step are kept: output i is `band[i]` of the step's input channel `source[i]`."""

    source: Tensor
    band: Tensor


class BlockTransform:
    """The linear transform: a stem [widths[0], 3·fold²] on blocks of fold × fold pixels, then a Haar step per halving.

    widths: channels after the stem and after each halving.
    """

    def __init__(self, fold: int, widths: Sequence[int]) -> None:
        self.stem = _stem(fold, widths[0])
        rows = self.stem.unflatten(1, (3, fold, fold))
        self.steps: list[HaarStep] = []
        for width in widths[1:]:
            candidates = torch.einsum("ncyx,bij->nbciyjx", rows, _HAAR).flatten(5, 6).flatten(3, 4).flatten(0, 1)
            kept = torch.argsort(_variance(candidates), descending=True, stable=True)[:width]
            self.steps.append(HaarStep(source=kept // len(_HAAR), band=kept % len(_HAAR)))
            rows = candidates[kept]
        self._variance = _variance(rows)

    def latent_deviation(self, channels: int) -> Tensor:
        """Standard deviation [channels] that the latent starts with on photos, before the gain."""
        deviation = torch.zeros(channels)
        known = min(channels, len(self._variance))
        deviation[:known] = _CONTRAST * self._variance[:known].sqrt()
        return deviation

    @torch.no_grad()
    def start_analysis(self, stem: nn.Conv2d, halvings: Sequence[nn.Conv2d], last: nn.Conv2d | None = None) -> None:
        """Set the stem and the stride-2 convolutions, each 2×2 or 3×3, and the pointwise convolution to the latent.

        stem: over folded blocks, or with a stride of one block. last: None if the last halving gives the latent.
        """
        _quieten([stem, *halvings, *([] if last is None else [last])])
        _on_blocks(stem).add_(self.stem)
        for layer, step in zip(halvings, self.steps, strict=True):
            outputs = torch.arange(len(step.source))
            layer.weight[outputs, step.source, -2:, -2:] += _HAAR[step.band]
        if last is not None:
            last.weight[:, :, 0, 0] += torch.eye(*last.weight.shape[:2])

    @torch.no_grad()
    def start_synthesis(self, doublings: Sequence[nn.Conv2d], stem: nn.Conv2d, first: nn.Conv2d | None = None) -> None:
        """Set the pointwise convolutions before each pixel shuffle, the 3×3 stem to folded blocks, and the pointwise
        convolution from the latent.

        first: None if the first doubling takes the latent.
        """
        _quieten([*([] if first is None else [first]), *doublings, stem])
        if first is not None:
            first.weight[:, :, 0, 0] += torch.eye(*first.weight.shape[:2])
        for layer, step in zip(doublings, reversed(self.steps), strict=True):
            inputs = torch.arange(len(step.source))
            phases = layer.weight[:, :, 0, 0].unflatten(0, (-1, 4))  # [out, 2·2 phases, in], a view
            phases[step.source, :, inputs] += _HAAR[step.band].flatten(1)
        _on_blocks(stem).add_(self.stem.T)


def _on_blocks(stem: nn.Conv2d) -> Tensor:
    """A view of the weights [out, in] that act within one block."""
    return stem.weight.flatten(1) if stem.kernel_size == stem.stride else stem.weight[:, :, 1, 1]


def _stem(fold: int, width: int) -> Tensor:
    """Orthonormal rows [width, 3·fold²] over (colour, y, x) of a block, largest variance first; spare rows 0."""
    position = torch.arange(float(fold))
    dct = torch.cos(math.pi / fold * torch.outer(position, position + 0.5))
    dct = dct / dct.norm(dim=1, keepdim=True)
    rows = torch.einsum("ac,uy,vx->auvcyx", _COLOUR, dct, dct).flatten(0, 2)
    order = torch.argsort(_variance(rows), descending=True, stable=True)[:width]
    stem = torch.zeros(width, 3 * fold**2)
    stem[: len(order)] = rows[order].flatten(1)
    return stem


def _variance(rows: Tensor) -> Tensor:
    """Variance [n] of linear functionals [n, 3, k, k] under the image model."""
    distance = torch.arange(rows.shape[-1])
    spatial = _CORRELATION ** (distance[:, None] - distance).abs().float()
    covariance = _COLOUR.T @ torch.diag(_COLOUR_VARIANCE) @ _COLOUR
    return torch.einsum("ncyx,cd,yz,xw,ndzw->n", rows, covariance, spatial, spatial, rows)


def _quieten(layers: Sequence[nn.Conv2d]) -> None:
    for layer in layers:
        layer.weight *= _NOISE
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def starting_at(value: float, layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with its weights zeroed, so that at the start of training its output is `value` everywhere."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, value)
    return layer
