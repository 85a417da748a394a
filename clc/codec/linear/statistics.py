"""Adaptive statistics of linear blocks."""

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clc.codec.adaptive_tables import AdaptiveTable
from clc.codec.linear.grids import FINENESS
from clc.codec.linear.transform import SIDE
from clc.model.priors.tables import SCALE_LEVELS, FrequencyTables

ACTIVITIES = 16
"""How far the coefficients of a part can lie above or below the usual magnitudes; 0: all are 0."""
EXPONENT_PER_ACTIVITY = 0.36916
"""An activity more is a magnitude e^0.36916 times as large: 3 scale levels."""

_MIDDLE_ACTIVITY = 8
_LEAST_UNIT = -_MIDDLE_ACTIVITY
_LEVELS_PER_ACTIVITY = 3
_ACTIVITIES_PER_OCTAVE = 2  # 6 scale levels: a factor of 2.09
_MOST_OCTAVES = 8
_FRACTION = 2**8  # mean magnitudes are kept in units of 1/256
_PRIOR_WEIGHT = 4  # parts of 8×8 that the first statistics count as
_REMEMBERED = 512  # parts after which all counts are halved


@dataclass
class Statistics:
    """What the rows so far say of those to come: integers only, so that they are the same everywhere."""

    chosen: list[AdaptiveTable] = field(default_factory=lambda: [AdaptiveTable([32, 1 + 8 * n]) for n in range(4)])
    fineness: AdaptiveTable = field(default_factory=lambda: AdaptiveTable([1] * FINENESS))
    activity: list[AdaptiveTable] = field(default_factory=lambda: [AdaptiveTable([1] * ACTIVITIES) for _ in range(3)])
    magnitudes: NDArray[np.int64] = field(default_factory=lambda: _first_means() * _PRIOR_WEIGHT)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.full((3, 1), _PRIOR_WEIGHT))

    def means(self) -> NDArray[np.int64]:
        """Mean magnitudes at middle activity, in units of 1/256: [3, 64]."""
        return self.magnitudes // self.counts

    def count(self, values: NDArray[np.int32], activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> None:
        """Learn from a row: values [n, 4, 3, 64], activity [n, 4, 3], octaves [n]."""
        places = units(activity, octaves) - _LEAST_UNIT
        weights = np.where(activity > 0, _normalisers()[places], 0)
        self.magnitudes += (np.abs(values).astype(np.int64) * weights[..., None]).sum(axis=(0, 1))
        self.counts += (activity > 0).sum(axis=(0, 1))[:, None]
        full = self.counts > _REMEMBERED
        self.magnitudes = np.where(full, self.magnitudes // 2, self.magnitudes)
        self.counts = np.where(full, self.counts // 2, self.counts)


def units(activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    """How far magnitudes lie above those at middle activity, in units of 3 scale levels: [n, 4, 3]."""
    return activity - _MIDDLE_ACTIVITY + _ACTIVITIES_PER_OCTAVE * octaves[:, None, None]


def levels_at(levels: NDArray[np.int_], activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    """Levels [3, 64] at middle activity → of coefficients [n, 4, 3, 64]."""
    raised = levels + _LEVELS_PER_ACTIVITY * units(activity, octaves)[..., None]
    return np.clip(raised, 0, SCALE_LEVELS - 1).astype(np.int32)


def thresholds_of(tables: FrequencyTables) -> NDArray[np.int64]:
    """Mean magnitudes, in units of 1/256, from which the next scale level codes better: [63]."""
    means = []
    for radius, frequencies in tables:
        magnitudes = np.abs(np.arange(-radius, radius + 1)).astype(np.int64)
        means.append(int((magnitudes * frequencies[:-1]).sum() * _FRACTION // int(frequencies[:-1].sum())))
    return np.array([(lower + upper) // 2 for lower, upper in pairwise(means)])


@cache
def _normalisers() -> NDArray[np.int64]:
    """256 · exp(-0.36916 u), rounded, for every unit u: the factors that bring magnitudes to middle activity."""
    every = np.arange(_LEAST_UNIT, ACTIVITIES + _ACTIVITIES_PER_OCTAVE * _MOST_OCTAVES)
    return np.round(_FRACTION * np.exp(-EXPONENT_PER_ACTIVITY * every)).astype(np.int64)


def _first_means() -> NDArray[np.int64]:
    """Rough mean magnitudes in photos, to start from: [3, 64] in units of 1/256."""
    frequency = np.add.outer(np.arange(SIDE), np.arange(SIDE)).ravel()
    return np.stack([_FRACTION * share // (2 * (1 + frequency)) for share in (4, 2, 2)]).astype(np.int64)
