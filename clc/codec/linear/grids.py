"""The grids that coefficients are rounded to: powers of two, so that a finer one contains a coarser one."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from clc.codec.linear.transform import COEFFICIENTS, SIDE
from clc.model.limits import QUALITY_STEPS

FINENESS = 7
"""How many grids a block can choose among: that of the quality, or at most 2^6, 2^5, … 2^1 if that is finer.

They do not depend on the quality, so that what is fine enough stays so as the quality rises.
"""

_COARSEST_CHOICE = 7  # less the fineness: the exponent of its grid
_MEAN_EXPONENT = 3  # the mean of 8×8 pixels is never coarser than one level
_STEPS_AN_OCTAVE = 800  # resolution of the exponent before it is rounded down
# The usual grid is 2^7.99 at quality 1 and 2^4.32 at quality 100: √(18 / (λ ln 2)), optimal for their λ.
_EXPONENT_AT_1, _EXPONENT_RANGE = 6394, 2936


def first_finer(quality: float) -> int:
    """The smallest fineness whose grid is finer than the quality's own."""
    return max(1, _COARSEST_CHOICE - int(_exponents(quality).max()) + 1)


def scales(quality: float, fineness: NDArray[np.int32]) -> NDArray[np.float64]:
    """The step of every coefficient: [n, 1, 3, 64]. That of the mean does not depend on the fineness."""
    exponents = _exponents(quality)
    chosen = np.where(fineness > 0, _COARSEST_CHOICE - fineness, exponents.max())
    steps = 2.0 ** np.minimum(exponents, chosen[:, None, None, None])
    steps[..., 0] = 2.0 ** np.minimum(exponents[:, 0], _MEAN_EXPONENT)
    return steps


def octaves_of(quality: float, fineness: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many octaves finer than usual the grids of blocks are: [n]."""
    usual = _exponents(quality)[0, COEFFICIENTS // 2]
    finer = np.where(fineness > 0, np.maximum(usual - (_COARSEST_CHOICE - fineness), 0), 0)
    return finer.astype(np.int32)


@cache
def _exponents(quality: float) -> NDArray[np.int_]:
    """The grid of each coefficient at a quality is 2^e: e [3, 64]. Low frequencies become finer a little earlier."""
    hundredths = round(quality * QUALITY_STEPS) - QUALITY_STEPS
    frequency = np.add.outer(np.arange(SIDE), np.arange(SIDE)).ravel()
    at_quality = _EXPONENT_AT_1 - _EXPONENT_RANGE * hundredths // (99 * QUALITY_STEPS)
    turn = 3 * (frequency // 2) + np.arange(3)[:, None]  # 0..23: in which 24th of an octave
    return (at_quality + _STEPS_AN_OCTAVE * turn // 24) // _STEPS_AN_OCTAVE
