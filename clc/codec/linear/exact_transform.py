"""The inverse cosine transform with the same result on every machine: for pictures that streams refer to.

Its factors are rounded to dyadic numbers and what it takes is bounded, so that 64-bit floating point holds every sum.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from clc.codec.linear.transform import BLOCK, SIDE, colours, cosines

_FACTOR_EXPONENT = 14
_LARGEST = 2.0**14  # of a coefficient: no difference of pixels has one of 2^13
_BETWEEN_EXPONENT = 10  # of what the two transforms pass on


def exactly_restored(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """`restored`, up to a hundredth of a level: coefficients [n, 4, 3, 64] → blocks [n, 16, 16, 3]."""
    square = np.clip(coefficients, -_LARGEST, _LARGEST).reshape(-1, 2, 2, 3, SIDE, SIDE)
    basis, mixture = _factors()
    planes = basis.T @ square @ basis  # 14 + 3 + 14 + 3 bits before the point at most, and 28 behind it: below 53
    planes = np.floor(planes * 2.0**_BETWEEN_EXPONENT + 0.5) / 2.0**_BETWEEN_EXPONENT
    split = np.einsum("dc,nabdij->nabcij", mixture, planes)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(-1, BLOCK, BLOCK, 3)


@cache
def _factors() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines and colours. No factor lies so near to a half step that machines could round it differently."""
    one = 2.0**_FACTOR_EXPONENT
    return np.rint(cosines() * one) / one, np.rint(colours() * one) / one
