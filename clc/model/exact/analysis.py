"""g_a with the same result on every machine: for references that the decoder has to analyse itself.

It is the convolutional g_a with the weights that a model file has, in the arithmetic of `convolution` beside it: dyadic
numbers in 64-bit floating point, rounded to 16 bits after every layer. A photo's own latent is not made by it: the
decoder does not need to make that again, and an ordinary g_a is faster.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import check_exact_sums, on_bias_grid, snap_, transformed_if_exact
from clc.model.exact.winograd import convolved
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ResidualBlock

_EXPONENT = 11  # activations are multiples of 2^-11: 16 bits reach to 16, which pictures in 0..1 stay below
_LARGEST = 2.0 ** (15 - _EXPONENT)  # bound of rounded values; a sum with n branches may be n + 1 times as large
_PIXEL = 257 / 2**16  # nearly 1/255, and a dyadic number
_PIXEL_EXPONENT = 16
_UNFOLDED_BYTES = 2**25  # memory of one convolution's unfolded rows


class ExactAnalysis:
    """uint8 [H, W, 3], H and W multiples of 16 → latent float64 [1, C, H/16, W/16], on the CPU."""

    def __init__(self, analysis: ConvolutionalAnalysis) -> None:
        self._layers = copy.deepcopy(analysis.layers).cpu()
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
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
        x = pixels.double() * _PIXEL - 0.5
        for layer in self._layers:
            if isinstance(layer, nn.Conv2d):
                x = self._convolved(layer, x)
            elif isinstance(layer, ResidualBlock):
                branch = self._convolved(layer.conv1, _rectified(x))
                x = x + self._convolved(layer.conv2, _rectified(branch))
            else:
                x = layer(x)
        return x

    def _convolved(self, layer: nn.Conv2d, x: Tensor) -> Tensor:
        padded = F.pad(x, (int(layer.padding[0]),) * 4)
        weight = self._transformed.get(layer)
        if weight is None:
            return snap_(_summed(layer, padded), _EXPONENT)
        assert layer.bias is not None
        return snap_(convolved(padded, weight, layer.bias), _EXPONENT)


def _rectified(x: Tensor) -> Tensor:
    """Leaky ReLU: one multiplication, which every machine rounds alike."""
    return snap_(F.leaky_relu(x), _EXPONENT)


def _summed(layer: nn.Conv2d, padded: Tensor) -> Tensor:
    """A convolution in float64, some rows at a time: it copies every pixel once for each weight that meets it."""
    size, stride = layer.kernel_size[0], layer.stride[0]
    rows = (padded.shape[2] - size) // stride + 1
    columns = (padded.shape[3] - size) // stride + 1
    step = max(1, _UNFOLDED_BYTES // (8 * layer.in_channels * size**2 * columns))
    parts = []
    for start in range(0, rows, step):
        last = min(start + step, rows) - 1
        seen = padded[:, :, start * stride : last * stride + size]
        parts.append(F.conv2d(seen, layer.weight, layer.bias, stride))
    return torch.cat(parts, dim=2)
