"""Exponents: slopes of straight lines through logarithms, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_DRAWS = 1000


@dataclass(frozen=True)
class Exponent:
    """y ∝ x^value; between low and high in 95 % of the bootstrap's draws."""

    value: float
    low: float
    high: float


def slope(x: Sequence[float], y: Sequence[float] | NDArray[np.float64]) -> float:
    """b of the least-squares line log y = a + b · log x; x and y positive, at least two different x.

    >>> round(slope([1.0, 10.0, 100.0], [3.0, 30.0, 300.0]), 12)
    1.0
    """
    return float(_slopes(x, np.asarray(y, dtype=np.float64)[None])[0])


def exponent(x: Sequence[float], samples: Sequence[NDArray[np.float64]], *, seed: int = 0) -> Exponent:
    """Of the means of independent samples, one array of them for each x. The bootstrap draws within each array."""
    rng = np.random.default_rng(seed)
    drawn = [each[rng.integers(len(each), size=(_DRAWS, len(each)))].mean(axis=1) for each in samples]
    return _exponent(x, np.array([each.mean() for each in samples]), np.stack(drawn, axis=1))


def paired_exponent(x: Sequence[float], samples: NDArray[np.float64], *, seed: int = 0) -> Exponent | None:
    """Of the means over the rows of samples [row, x]: the same rows at every x, which the bootstrap draws whole.

    None if the mean of a draw is 0, which has no logarithm.
    """
    rng = np.random.default_rng(seed)
    drawn = samples[rng.integers(len(samples), size=(_DRAWS, len(samples)))].mean(axis=1)
    return _exponent(x, samples.mean(axis=0), drawn) if drawn.min() > 0.0 else None


def _exponent(x: Sequence[float], means: NDArray[np.float64], drawn: NDArray[np.float64]) -> Exponent:
    low, high = np.quantile(_slopes(x, drawn), [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return Exponent(slope(x, means), float(low), float(high))


def _slopes(x: Sequence[float], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row of y [·, x]."""
    places = np.log(np.asarray(x, dtype=np.float64))
    centred = places - places.mean()
    slopes: NDArray[np.float64] = np.log(y) @ centred / (centred @ centred)
    return slopes
