"""Convolutions whose results are the same on every machine.

An entropy decoder that computes one scale differently from its encoder loses the rest of the image. Floating-point
convolutions do differ, by thread count, instruction set and library. A frozen `ExactConv2d` therefore works on dyadic
numbers only: small integers times a power of two, carried in float64. Every product and partial sum fits into the
53-bit mantissa, so no order of summation rounds, and the result is one and the same number everywhere.
"""

import math
import threading

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.winograd import HALVINGS, convolved, largest_sums, transformed

_INTEGER_BITS = 15  # magnitude bits of a 16-bit integer
LARGEST_INTEGER = 2**_INTEGER_BITS - 1
"""Activations are at most this many steps of their grid."""
_MANTISSA_BITS = 53
LARGEST_INPUT = 2.0**12
"""Inputs of exact layers are at most this large."""
FINEST_INPUT_EXPONENT = 12
"""Inputs of exact layers are multiples of 2^-FINEST_INPUT_EXPONENT."""
_BIAS_EXPONENT = 20
_FINEST_WEIGHT_EXPONENT = 24  # channels that hardly respond need no finer weights
_CUDNN = threading.Lock()
_HEADROOM = 4.0  # activations may grow this much beyond what calibration saw before they saturate


def snap(x: Tensor, exponent: int, factor: Tensor | float = 1.0, largest: int = LARGEST_INTEGER) -> Tensor:
    """Round x · factor to the grid 2^-exponent (halves up) and saturate at `largest` steps of it: 16 bits, by default.

    `x` and `factor` are float64 and exact; the result is, too, and their product may be rounded once.
    """
    return _round_(x * (factor * 2.0**exponent), exponent, largest)


def snap_(x: Tensor, exponent: int, factor: Tensor | float = 1.0, largest: int = LARGEST_INTEGER) -> Tensor:
    """`snap` in place: fresh memory costs more than the arithmetic."""
    return _round_(x.mul_(factor * 2.0**exponent), exponent, largest)


def _round_(scaled: Tensor, exponent: int, largest: int) -> Tensor:
    return scaled.add_(0.5).floor_().clamp_(-float(largest), float(largest)).mul_(2.0**-exponent)


class ExactConv2d(nn.Conv2d):
    """A convolution that trains in floating point and, once frozen, is evaluated exactly.

    output_exponent: fixes the output grid to 2^-output_exponent; None lets `freeze` choose it from the largest
    activation seen while `observing`.
    """

    exponent: Tensor
    largest: Tensor
    transformed: Tensor | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, output_exponent: int | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.fixed_exponent = output_exponent
        self.frozen = False
        self.observing = False
        self.register_buffer("exponent", torch.tensor(output_exponent or 0, dtype=torch.int32))
        self.register_buffer("largest", torch.zeros(()), persistent=False)
        self.register_buffer("transformed", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, h, w] → [B, out_channels, h, w]; input channels beyond the first c are zero."""
        return self.rounded(self.sums(x))

    def sums(self, x: Tensor, phase: tuple[int, int] | None = None) -> Tensor:
        """Exact sums of products of a frozen layer, before rounding.

        phase: only those at every other row and column, from this one on: [B, out_channels, h/2, w/2].
        """
        padded = self._padded(x)
        channels = x.shape[1]
        if phase is not None:
            return self._summed(padded[:, :, phase[0] :, phase[1] :], channels, stride=2)
        return self.sums_of(padded)

    def sums_of(self, padded: Tensor) -> Tensor:
        """`sums` of inputs that have what lies beyond their edges."""
        channels = padded.shape[1]
        if self.transformed is not None:
            assert self.bias is not None
            return convolved(padded, self.transformed[:, :, :channels], self.bias)
        return self._summed(padded, channels, stride=1)

    def rounded(self, sums: Tensor) -> Tensor:
        """Sums of a frozen layer, rounded to the grid of its outputs and saturated; `sums` may be overwritten."""
        if self.frozen:
            return snap_(sums, int(self.exponent))
        if self.observing:
            self.largest = torch.maximum(self.largest, sums.detach().abs().amax())
        return sums

    def _summed(self, padded: Tensor, channels: int, stride: int) -> Tensor:
        weight = self.weight[:, :channels]
        if not (self.frozen and padded.is_cuda):
            return F.conv2d(padded, weight, self.bias, stride)
        # cuDNN may pick a Winograd or FFT algorithm whose sums have not been checked. All threads share its switch.
        with _CUDNN, torch.backends.cudnn.flags(enabled=False):
            return F.conv2d(padded, weight, self.bias, stride)

    def _padded(self, x: Tensor) -> Tensor:
        """Inputs with border values repeated: small training crops are mostly border, which zeros would show."""
        margin = self.kernel_size[0] // 2
        return F.pad(x, (margin,) * 4, mode="replicate") if margin else x

    @torch.no_grad()
    def freeze(self) -> None:
        """Quantise the weights to 16 bits per output channel and fix the output grid.

        Irreversible for this module; `restore` does the same for weights that were frozen before.
        """
        if self.fixed_exponent is None:
            chosen = _grid_exponent(float(self.largest) * _HEADROOM)
            # No coarser than the largest input of the next layer allows, no finer than its finest grid.
            coarsest = _INTEGER_BITS - int(math.log2(LARGEST_INPUT))
            self.exponent.fill_(min(max(chosen, coarsest), FINEST_INPUT_EXPONENT))
        assert self.bias is not None
        self.weight.data = on_weight_grid(self.weight).float()  # 16-bit dyadic numbers: exact in float32
        self.bias.data = on_bias_grid(self.bias).float()
        self.restore()

    @torch.no_grad()
    def restore(self) -> None:
        """Switch to exact evaluation with weights that already lie on their grid (loaded from a model artifact)."""
        self.weight.data = self.weight.data.double()
        assert self.bias is not None
        self.bias.data = self.bias.data.double()
        check_exact_sums(self.weight, self.bias, LARGEST_INPUT, FINEST_INPUT_EXPONENT)
        if self.kernel_size == (3, 3):
            self.transformed = transformed_if_exact(self.weight, self.bias, LARGEST_INPUT, FINEST_INPUT_EXPONENT)
        self.requires_grad_(False)
        self.frozen = True


@torch.no_grad()
def check_exact_sums(weight: Tensor, bias: Tensor, largest_input: float, input_exponent: int) -> None:
    """Sums of products must fit into the mantissa, or their order would matter. Raises ValueError if they may not.

    weight: [out, ...]; inputs are at most `largest_input`, and multiples of 2^-input_exponent.
    """
    bits = _bits(weight.flatten(1).abs().sum(dim=1) * largest_input, weight, bias, input_exponent)
    if bits > _MANTISSA_BITS:
        raise ValueError(f"a layer's exact sums need {bits:.1f} bits, {_MANTISSA_BITS} are available")


@torch.no_grad()
def transformed_if_exact(weight: Tensor, bias: Tensor, largest_input: float, input_exponent: int) -> Tensor | None:
    """Weights of a 3×3 layer for `winograd`, given as for `check_exact_sums`; None if sums may not fit."""
    weights = transformed(weight)
    bits = _bits(largest_sums(weights, largest_input), weight, bias, input_exponent + HALVINGS)
    return weights if bits <= _MANTISSA_BITS else None


def _bits(sums: Tensor, weight: Tensor, bias: Tensor, input_exponent: int) -> float:
    """Bits of the widest sum, given the largest value of each output channel."""
    finest = (-grids_of(weight) - input_exponent).clamp(max=-_BIAS_EXPONENT)
    largest = (sums + bias.abs()).clamp(min=1.0).log2()
    return float((largest - finest).max())


def on_weight_grid(weight: Tensor) -> Tensor:
    """Weights as float64, rounded to 16-bit integers times a power of two per output channel."""
    rounded = weight.double()
    for channel in range(rounded.shape[0]):
        exponent = _grid_exponent(float(rounded[channel].abs().amax()))
        rounded[channel] = snap(rounded[channel], min(exponent, _FINEST_WEIGHT_EXPONENT))
    return rounded


def on_bias_grid(bias: Tensor) -> Tensor:
    """A bias as float64, rounded to the grid of exact layers' biases."""
    return torch.round(bias.double() * 2.0**_BIAS_EXPONENT) * 2.0**-_BIAS_EXPONENT


def _grid_exponent(largest: float) -> int:
    """The finest grid 2^-e on which numbers up to `largest` fit into 16 bits."""
    if largest == 0.0:
        return FINEST_INPUT_EXPONENT
    return _INTEGER_BITS - math.ceil(math.log2(largest) + 1e-9)


def grids_of(channels: Tensor) -> Tensor:
    """int32 [n]: per channel of float32 or float64 [n, ...], the smallest e ≥ -15 for which all its numbers are
    multiples of 2^-e."""
    numbers = channels.double().flatten(1)
    mantissas, exponents = torch.frexp(numbers)
    digits = (mantissas * 2.0**_MANTISSA_BITS).long()
    zeros_after = torch.frexp((digits & -digits).double()).exponent - 1  # what follows the last digit that is set
    grids = (_MANTISSA_BITS - exponents - zeros_after).masked_fill(numbers == 0, -_INTEGER_BITS)
    return grids.amax(dim=1).clamp(min=-_INTEGER_BITS)
