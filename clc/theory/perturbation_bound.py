"""Theorem 1 of the CLC paper (§3.4), as it is printed there but for its constant C.

    ‖sin Θ(Pr(Ĝ₁), U*)‖_F ≤ C · (√r ∧ √(r / (1 − p)) · √((r + r(Σ_ξ)) · log(d / δ) / n))

with probability 1 − δ. The size K of the dictionary is not in it.
"""

import math

import numpy as np
from numpy.typing import NDArray


def effective_rank(covariance: NDArray[np.float64]) -> float:
    """r(Σ) = tr(Σ) / ‖Σ‖ of a covariance [d, d]: between 1 and d; 0 for Σ = 0.

    >>> effective_rank(np.diag([2.0, 2.0, 1.0]))
    2.5
    """
    largest = float(np.linalg.norm(covariance, 2))
    return float(np.trace(covariance)) / largest if largest else 0.0


def rate_of_bound(*, n: int, r: int, d: int, p: float, noise_rank: float, delta: float) -> float:
    """What stands right of √r ∧, without C: the bound as long as it is below √r.

    n: training samples; r: dimensions of the subspace U*; d: of an image; p: irrelevant share of the auxiliary image,
    in [0, 1); noise_rank: r(Σ_ξ).

    >>> round(rate_of_bound(n=100, r=1, d=1, p=0.75, noise_rank=0.0, delta=1 / math.e), 3)
    0.2
    """
    return math.sqrt(r / (1.0 - p)) * math.sqrt((r + noise_rank) * math.log(d / delta) / n)
