"""What photos are predicted to cost, R + λD, in units of the bytes that each takes alone; λD of that is 1.0 to 1.3.

What a key photo saves another photo was measured once, on reference photos of fixed and of handheld cameras
(docs/archive.md). `left` is the share of a photo's cost that the other leaves (`resemblance`); everything broadcasts.
"""

import math

import numpy as np
from numpy.typing import NDArray

_LEAST, _SLOPE = 0.20, 0.73  # of the bytes: what a photo takes that another explains all of, and how that grows
_DECIBELS = 2.3  # by which a photo is better that another, 30 steps finer, explains all of
_AVERAGED = 0.15  # of the distortion: falls as 1/K if K photos explain a photo about as well as the best
_RATE_PER_STEP = math.log(2.57) / 30
_RELATED = 0.9  # of its cost left: by less, a photo is not helped
_LEAST_COST = 1.0  # of a photo that another can help: others have one colour, or nearly; most cost hundreds

ALIKE = 0.5
"""Of what the best photo explains: a picture is blended with others, too, that explain as much."""
DISTORTION = 1.1
"""λD of a photo that refers to no other; R is 1."""

Costs = NDArray[np.float64]


def is_helped(left: Costs, cost: Costs, of_the_other: Costs) -> NDArray[np.bool_]:
    """Whether photos are helped by others. cost: as `Resemblance` has it."""
    return (left < _RELATED) & (cost >= _LEAST_COST) & (of_the_other >= _LEAST_COST)


def rate_given(left: Costs) -> Costs:
    """Bytes of a photo that refers to another."""
    return np.minimum(_LEAST + _SLOPE * left, 1.0)


def cost_given(left: Costs, alike: Costs | float = 1.0) -> Costs:
    """Of a photo that refers to another, or to so many that are alike: pictures are blended, and noise is averaged."""
    distortion: Costs = DISTORTION * 10 ** (-_DECIBELS * (1.0 - left) / 10)
    return rate_given(left) + distortion * (1.0 - _AVERAGED + _AVERAGED / alike)


def rate_finer(steps: float) -> float:
    """Bytes of a photo that is coded so many steps of quality finer."""
    return math.exp(_RATE_PER_STEP * steps)
