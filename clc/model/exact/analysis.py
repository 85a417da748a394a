"""g_a with the same result on every machine: for references that the decoder has to analyse itself.

It is the convolutional g_a with the weights that a model file has, in the arithmetic of `convolution` beside it: dyadic
numbers in 64-bit floating point, rounded to 16 bits after every layer. A photo's own latent is not made by it: the
decoder does not need to make that again, and an ordinary g_a is faster.
"""

import copy
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import check_exact_sums, on_bias_grid, snap_, transformed_if_exact
from clc.model.exact.winograd import convolved
from clc.model.streaming import Band, gathered, slid_over, with_branch
from clc.model.tiles import LATENT_STRIDE
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ResidualBlock

_EXPONENT = 11  # activations are multiples of 2^-11: 16 bits reach to 16, which pictures in 0..1 stay below
_LARGEST = 2.0 ** (15 - _EXPONENT)  # bound of rounded values; a sum with n branches may be n + 1 times as large
_PIXEL = 257 / 2**16  # nearly 1/255, and a dyadic number
_PIXEL_EXPONENT = 16
_PIXELS_AT_ONCE = 2**17


class ExactAnalysis:
    """uint8 [H, W, 3], H and W multiples of 16 → latent float64 [1, C, H/16, W/16], on the CPU.

    It works on some rows at a time: memory beside the latent does not grow with the height of the picture.
    """

    def __init__(self, analysis: ConvolutionalAnalysis) -> None:
        self._layers = copy.deepcopy(analysis.layers).cpu()
        *_, last = analysis.layers
        assert isinstance(last, nn.Conv2d)
        self._channels = last.out_channels
        self._transformed: dict[nn.Conv2d, Tensor | None] = {}
        inputs = (1.0, _PIXEL_EXPONENT)  # bound and exponent of the first convolution's inputs
        for layer in self._layers:
            if isinstance(layer, ResidualBlock):
                for convolution in (layer.conv1, layer.conv2):
                    self._prepare(convolution, _LARGEST, _EXPONENT)
                inputs = (inputs[0] + _LARGEST, _EXPONENT)
            elif isinstance(layer, nn.Conv2d):
                self._prepare(layer, *inputs)
                inputs = (_LARGEST, _EXPONENT)

    def _prepare(self, layer: nn.Conv2d, largest_input: float, input_exponent: int) -> None:
        assert layer.bias is not None
        # A model that was never stored has more digits than its file would have.
        layer.weight.data = layer.weight.data.half().double().contiguous()
        layer.bias.data = on_bias_grid(layer.bias.data)
        check_exact_sums(layer.weight, layer.bias, largest_input, input_exponent)
        if layer.kernel_size == (3, 3) and layer.stride == (1, 1):
            self._transformed[layer] = transformed_if_exact(layer.weight, layer.bias, largest_input, input_exponent)

    @torch.inference_mode()
    def __call__(self, picture: NDArray[np.uint8]) -> Tensor:
        height, width = picture.shape[:2]
        bands = _bands(picture)
        for layer in self._layers:
            bands = self._through(layer, bands)
        latent = torch.empty(1, self._channels, height // LATENT_STRIDE, width // LATENT_STRIDE, dtype=torch.float64)
        return gathered(bands, latent)

    def _through(self, layer: nn.Module, bands: Iterator[Band]) -> Iterator[Band]:
        if isinstance(layer, nn.Conv2d):
            return slid_over(bands, layer, partial(self._convolved, layer), F.pad)
        if isinstance(layer, ResidualBlock):
            first, second = layer.conv1, layer.conv2
            return with_branch(bands, lambda x: self._through(second, _rectified(self._through(first, _rectified(x)))))
        return ((layer(x), last) for x, last in bands)

    def _convolved(self, layer: nn.Conv2d, rows: Tensor) -> Tensor:
        """Of rows with those above and below."""
        margin = int(layer.padding[0])
        weight = self._transformed.get(layer)
        if weight is None:
            return snap_(F.conv2d(rows, layer.weight, layer.bias, layer.stride, (0, margin)), _EXPONENT)
        assert layer.bias is not None
        return snap_(convolved(F.pad(rows, (margin, margin)), weight, layer.bias), _EXPONENT)


def _bands(picture: NDArray[np.uint8]) -> Iterator[Band]:
    height, width = picture.shape[:2]
    step = LATENT_STRIDE * max(1, _PIXELS_AT_ONCE // (LATENT_STRIDE * width))
    for top in range(0, height, step):
        rows = torch.from_numpy(picture[top : top + step].astype(np.float64))
        yield rows.permute(2, 0, 1)[None] * _PIXEL - 0.5, top + step >= height


def _rectified(bands: Iterator[Band]) -> Iterator[Band]:
    """Leaky ReLU: one multiplication, which every machine rounds alike."""
    return ((snap_(F.leaky_relu(x), _EXPONENT), last) for x, last in bands)
