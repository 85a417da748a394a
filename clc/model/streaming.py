"""Convolutional layers on the rows of a picture as they come: what they make of all of it, in memory for a few rows.

A band is some rows of a picture, [B, C, rows, w], and whether they are the last. A layer takes bands from above to
below and gives bands. A convolution keeps the last rows of its input for the next ones, so nothing is computed twice,
and every result is the same sum of products as in the whole picture.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import ExactConv2d
from clc.model.priors.hyper import HyperAnalysis, HyperSynthesis
from clc.model.transforms.convolutional import (
    ConvolutionalAnalysis,
    ConvolutionalSynthesis,
    LatentResidual,
    ResidualBlock,
)

Band = tuple[Tensor, bool]
"""Rows [B, C, rows, w], and whether they are the last ones."""
Padding = tuple[int, int, int, int]
"""Positions to the left, to the right, above and below."""

_ALONE = (nn.PixelShuffle, nn.PixelUnshuffle, nn.ReLU, nn.LeakyReLU)  # these see no neighbours


def streams(module: nn.Module) -> bool:
    """Whether `streamed` knows this network."""
    return isinstance(
        module, ConvolutionalAnalysis | ConvolutionalSynthesis | LatentResidual | HyperAnalysis | HyperSynthesis
    )


def streamed(module: nn.Module, bands: Iterator[Band]) -> Iterator[Band]:
    """What a network makes of bands: g_a, g_s, the prediction of the latent residual, h_a or h_s.

    Bands of g_a have multiples of 16 rows, those of h_a multiples of 4. Others come out than go in: later, by as many
    rows as a result needs below it. Raises TypeError for a network or a layer of another kind.
    """
    if isinstance(module, ConvolutionalAnalysis):
        return _through(module.layers, ((x - 0.5, last) for x, last in bands))
    if isinstance(module, ConvolutionalSynthesis):
        return ((x + 0.5, last) for x, last in _through(module.layers, bands))
    if isinstance(module, LatentResidual):
        return _residual_of_latent(module, bands)
    if isinstance(module, HyperAnalysis | HyperSynthesis):
        return _through(module, bands)
    raise TypeError(f"{type(module).__name__} is evaluated on whole pictures only")


def gathered(bands: Iterator[Band], into: Tensor) -> Tensor:
    """Bands, one below the other, in `into` [B, C, h, w]."""
    top = 0
    for band, _ in bands:
        into[:, :, top : top + band.shape[2]] = band
        top += band.shape[2]
    assert top == into.shape[2], "the bands are all of the picture"
    return into


def _through(layers: nn.Sequential, bands: Iterator[Band]) -> Iterator[Band]:
    for layer in layers:
        bands = _layer(layer, bands)
    return bands


def _layer(layer: nn.Module, bands: Iterator[Band]) -> Iterator[Band]:
    if isinstance(layer, ResidualBlock):
        return _residual(layer, bands)
    if isinstance(layer, nn.Conv2d):
        return _convolved(layer, bands)
    if isinstance(layer, _ALONE):
        return ((layer(x), last) for x, last in bands)
    raise TypeError(f"{type(layer).__name__} is evaluated on whole pictures only")


def _residual_of_latent(module: LatentResidual, bands: Iterator[Band]) -> Iterator[Band]:
    own = next(module.parameters()).dtype
    for predicted, last in _through(module, ((x.to(own), last) for x, last in bands)):
        yield 0.5 * torch.tanh(predicted.float()), last


def _residual(block: ResidualBlock, bands: Iterator[Band]) -> Iterator[Band]:
    def branch(bands: Iterator[Band]) -> Iterator[Band]:
        begun = ((F.leaky_relu(x).to(block.conv1.weight.dtype), last) for x, last in bands)
        hidden = ((F.leaky_relu(x, inplace=True), last) for x, last in _convolved(block.conv1, begun))
        return _convolved(block.conv2, hidden)

    return with_branch(bands, branch)


def with_branch(bands: Iterator[Band], branch: Callable[[Iterator[Band]], Iterator[Band]]) -> Iterator[Band]:
    """Bands, with what a branch makes of them added."""
    waiting: deque[Tensor] = deque()  # rows that their branch has not come for

    def seen() -> Iterator[Band]:
        for x, last in bands:
            waiting.append(x)
            yield x, last

    for added, last in branch(seen()):
        x = _first_rows(waiting, added.shape[2])
        yield x + added.to(x.dtype), last


def _first_rows(waiting: deque[Tensor], count: int) -> Tensor:
    """Takes so many rows off the queue."""
    parts = []
    while count:
        rows = waiting.popleft()
        if rows.shape[2] > count:
            waiting.appendleft(rows[:, :, count:])
            rows = rows[:, :, :count]
        parts.append(rows)
        count -= rows.shape[2]
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def _convolved(layer: nn.Conv2d, bands: Iterator[Band]) -> Iterator[Band]:
    return slid_over(bands, layer, partial(_of_rows, layer), partial(_beyond, layer))


def slid_over(
    bands: Iterator[Band],
    layer: nn.Conv2d,
    of_rows: Callable[[Tensor], Tensor],
    beyond: Callable[[Tensor, Padding], Tensor],
) -> Iterator[Band]:
    """A convolution over bands, of the size and the stride of a layer.

    of_rows: the convolution of rows that have their neighbours above and below. beyond: what it sees beyond the edges.
    """
    size, stride = layer.kernel_size[0], layer.stride[0]
    margin = size // 2
    held: Tensor | None = None
    for band, last in bands:
        top, bottom = margin if held is None else 0, margin if last else 0
        seen = band if held is None else torch.cat([held, band], dim=2)
        if top or bottom:
            seen = beyond(seen, (0, 0, top, bottom))
        count = (seen.shape[2] - size) // stride + 1
        if count > 0:
            yield of_rows(seen[:, :, : (count - 1) * stride + size]), last
        held = seen[:, :, max(count, 0) * stride :]


def _of_rows(layer: nn.Conv2d, rows: Tensor) -> Tensor:
    """A convolution of rows that have their neighbours above and below."""
    margin = layer.kernel_size[0] // 2
    if isinstance(layer, ExactConv2d):
        return layer.rounded(layer.sums_of(_beyond(layer, rows, (margin, margin, 0, 0))))
    if layer.padding_mode == "zeros":
        return F.conv2d(rows, layer.weight, layer.bias, layer.stride, (0, margin))
    return F.conv2d(_beyond(layer, rows, (margin, margin, 0, 0)), layer.weight, layer.bias, layer.stride)


def _beyond(layer: nn.Conv2d, rows: Tensor, padding: Padding) -> Tensor:
    """Rows, with what the layer sees beyond the edges of a picture."""
    if not any(padding):
        return rows
    zeros = layer.padding_mode == "zeros" and not isinstance(layer, ExactConv2d)
    return F.pad(rows, padding) if zeros else F.pad(rows, padding, mode="replicate")
