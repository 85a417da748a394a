"""tanh from a table that every machine makes alike; maths libraries round it differently."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache

import torch
from torch import Tensor

INPUT_EXPONENT = 10
LARGEST_INPUT = 5
"""Beyond it, half of tanh is half, on the grid of the results."""
OUTPUT_EXPONENT = 12
_DECIMAL_DIGITS = 28


def half_tanh(x: Tensor) -> Tensor:
    """0.5·tanh(x), float64 in multiples of 2^-OUTPUT_EXPONENT.

    x: float64 on the CPU, in multiples of 2^-INPUT_EXPONENT, at most LARGEST_INPUT in magnitude.
    """
    steps = x.mul(2.0**INPUT_EXPONENT).add_(LARGEST_INPUT * 2.0**INPUT_EXPONENT)
    return _table().take(steps.long())


@cache
def _table() -> Tensor:
    """`half_tanh` of every input, in ascending order."""
    with localcontext(prec=_DECIMAL_DIGITS):  # Decimal.exp is correctly rounded
        upper = [_half_tanh(Decimal(step) / 2**INPUT_EXPONENT) for step in range(LARGEST_INPUT * 2**INPUT_EXPONENT + 1)]
    steps = torch.tensor([*(-step for step in upper[:0:-1]), *upper], dtype=torch.float64)
    return steps * 2.0**-OUTPUT_EXPONENT


def _half_tanh(x: Decimal) -> int:
    """In steps of the grid."""
    value = Decimal("0.5") - 1 / ((2 * x).exp() + 1)
    return int((value * 2**OUTPUT_EXPONENT).to_integral_value(ROUND_HALF_EVEN))
