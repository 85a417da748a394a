"""Exact layers on some rows of a picture at a time, with the results that they have on all of it.

A band is what a layer made of some rows. Each 3×3 convolution takes a row off either end of it, except at the
picture's own edges, beyond which there are zeros. So a caller asks the layers, last to first, which rows each `needs`,
and begins with those.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import (
    check_exact_sums,
    on_bias_grid,
    on_weight_grid,
    snap_,
    transformed_if_exact,
)
from clc.model.exact.winograd import convolved
from clc.model.transforms.convolutional import ResidualBlock

EXPONENT = 14
"""Activations are multiples of 2^-EXPONENT: finer than 16 bits, so that rounding does not show in a picture."""
LARGEST = 64.0
"""Activations saturate here. Those of photos stay below 30."""
_LARGEST_STEPS = int(LARGEST * 2**EXPONENT)


@dataclass(frozen=True)
class Rows:
    """The rows from `top` up to before `bottom` of a picture of `height` rows, at one resolution."""

    top: int
    bottom: int
    height: int

    def grown(self, margin: int) -> "Rows":
        """These and so many more at either end, within the picture."""
        return replace(self, top=max(0, self.top - margin), bottom=min(self.height, self.bottom + margin))

    def shrunk(self, margin: int) -> "Rows":
        """These without so many at either end, except where the picture ends."""
        top = self.top if self.top == 0 else self.top + margin
        bottom = self.bottom if self.bottom == self.height else self.bottom - margin
        return replace(self, top=top, bottom=bottom)

    def enlarged(self, factor: int) -> "Rows":
        """The same at a resolution that is higher by a factor."""
        return Rows(factor * self.top, factor * self.bottom, factor * self.height)

    def reduced(self, factor: int) -> "Rows":
        """The rows that cover these at a resolution that is lower by a factor."""
        return Rows(self.top // factor, -(-self.bottom // factor), self.height // factor)


@dataclass(frozen=True)
class Band:
    """Values float64 [B, C, rows, w]."""

    values: Tensor
    rows: Rows

    def cut(self, rows: Rows) -> Tensor:
        """The values of some of its rows."""
        return self.values[:, :, rows.top - self.rows.top : rows.bottom - self.rows.top]


class ExactLayer:
    """A convolution, 1×1 or 3×3 with zeros around, on the CPU. Its results are sums, not rounded.

    largest_input, input_exponent: inputs are at most so large, and multiples of 2^-input_exponent.
    Raises ValueError if sums might not be exact.
    """

    def __init__(self, layer: nn.Conv2d, largest_input: float, input_exponent: int) -> None:
        assert layer.bias is not None
        assert layer.kernel_size in ((1, 1), (3, 3))
        self.margin = layer.kernel_size[0] // 2
        # A model that was never stored has more digits than its file would have.
        self._weight = on_weight_grid(layer.weight.data.cpu().half()).contiguous()
        self._bias = on_bias_grid(layer.bias.data.cpu())
        check_exact_sums(self._weight, self._bias, largest_input, input_exponent)
        self._transformed: Tensor | None = None
        if self.margin:
            self._transformed = transformed_if_exact(self._weight, self._bias, largest_input, input_exponent)

    def needs(self, rows: Rows) -> Rows:
        """The rows of its input that these rows of its output need."""
        return rows.grown(self.margin)

    def __call__(self, band: Band) -> Band:
        rows = band.rows.shrunk(self.margin)
        above, below = rows.top - band.rows.top, band.rows.bottom - rows.bottom  # what it is given beyond its results
        padding = (self.margin, self.margin, self.margin - above, self.margin - below)
        padded = F.pad(band.values, padding) if self.margin else band.values
        if self._transformed is not None:
            return Band(convolved(padded, self._transformed, self._bias), rows)
        return Band(F.conv2d(padded, self._weight, self._bias), rows)


class ExactBlock:
    """A residual block. Its results are sums, at most LARGEST larger than its inputs. Raises what ExactLayer raises."""

    def __init__(self, block: ResidualBlock) -> None:
        self._first = ExactLayer(block.conv1, LARGEST, EXPONENT)
        self._second = ExactLayer(block.conv2, LARGEST, EXPONENT)

    def needs(self, rows: Rows) -> Rows:
        """As of an ExactLayer."""
        return self._first.needs(self._second.needs(rows))

    def __call__(self, band: Band) -> Band:
        branch = self._second(rectified(snapped(self._first(rectified(band)))))
        return Band(snapped(branch).values.add_(band.cut(branch.rows)), branch.rows)


class Shuffle:
    """The sub-pixel shuffle."""

    def __init__(self, layer: nn.PixelShuffle) -> None:
        self._factor = layer.upscale_factor

    def needs(self, rows: Rows) -> Rows:
        """As of an ExactLayer."""
        return rows.reduced(self._factor)

    def __call__(self, band: Band) -> Band:
        return Band(F.pixel_shuffle(band.values, self._factor), band.rows.enlarged(self._factor))


def snapped(band: Band) -> Band:
    """Rounded to the grid of activations, in place."""
    return Band(snap_(band.values, EXPONENT, largest=_LARGEST_STEPS), band.rows)


def rectified(band: Band) -> Band:
    """Leaky ReLU, rounded to the grid of activations: one multiplication, which every machine rounds alike."""
    return snapped(Band(F.leaky_relu(band.values), band.rows))
