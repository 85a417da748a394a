"""How near the best of K references is as K grows, and what a perturbed search for it loses.

The abstract of the CLC paper says that its error bound grows with the logarithm of the dictionary's size. Theorem 1
has no K, and the paper does not say which error is meant; two that depend on K are measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.errors import ProfileError
from clc.theory.subspaces import random_subspace

PERTURBATION = 1.0
"""Length of what is added to a query for the perturbed search, in mean distances to the best of all references."""

_SMALLEST = 4
_SUBSETS = 16  # random dictionaries of each size, nested, and perturbations


@dataclass(frozen=True)
class Keys:
    """References and queries for them, float64 [·, d]."""

    name: str
    references: NDArray[np.float64]
    queries: NDArray[np.float64]


@dataclass(frozen=True)
class DistanceRow:
    """One query, means over random dictionaries of K references and perturbations.

    distance: to the best of them, Euclidean; excess: how much farther the reference is that a perturbed query chooses.
    """

    keys: str
    entries: int
    query: int
    distance: float
    excess: float


def synthetic_keys(entries: int, queries: int, *, d: int, r: int, noise: float, rng: np.random.Generator) -> Keys:
    """U* s + ξ of the spiked model: s ~ N(0, I_r), ξ uniform of variance `noise` in all d directions."""
    basis = random_subspace(d, r, rng)
    edge = np.sqrt(3.0 * noise)
    number = entries + queries
    keys = rng.standard_normal((number, r)) @ basis.T + rng.uniform(-edge, edge, (number, d))
    name = f"synthetic, r = {r} of d = {d}" + (f", σ² = {noise:g}" if noise else ", no noise")
    return Keys(name, keys[:entries], keys[entries:])


def held_out_keys(
    name: str, keys: NDArray[np.float32], photos: Sequence[str], queries: int, rng: np.random.Generator
) -> Keys:
    """The keys of a dictionary: those of a quarter of its photos are queries, those of the others references.

    photos: for each key, which photo its entry is from, so that no query finds its own photo. queries: at most.
    Raises ProfileError if fewer than `_SMALLEST` times two references or no query are left.
    """
    names = np.array(photos)
    order = rng.permutation(np.unique(names))
    asking = np.isin(names, order[: len(order) // 4])
    if not asking.any() or (~asking).sum() < 2 * _SMALLEST:
        raise ProfileError(f"{name} has too few entries or photos to look for the best of K; name a larger dictionary")
    values = keys.astype(np.float64)
    return Keys(name, values[~asking], values[asking][:queries])


def sizes(references: int) -> list[int]:
    """K: powers of two from `_SMALLEST` on, and all references.

    >>> sizes(20)
    [4, 8, 16, 20]
    """
    powers = [_SMALLEST * 2**step for step in range(references.bit_length()) if _SMALLEST * 2**step < references]
    return [*powers, references]


def distances(keys: Keys, rng: np.random.Generator) -> list[DistanceRow]:
    """Every query at every size."""
    true = _distances(keys.queries, keys.references)
    length = PERTURBATION * true.min(axis=1).mean()
    counts, everyone = sizes(len(keys.references)), np.arange(len(keys.queries))
    nearest, excess = (np.zeros((len(everyone), len(counts))) for _ in range(2))
    for _ in range(_SUBSETS):
        order = rng.permutation(len(keys.references))
        step = rng.standard_normal(keys.queries.shape)
        step *= length / np.linalg.norm(step, axis=1, keepdims=True)
        seen = _distances(keys.queries + step, keys.references)
        for column, count in enumerate(counts):
            subset = order[:count]
            best, chosen = (subset[matrix[:, subset].argmin(axis=1)] for matrix in (true, seen))
            nearest[:, column] += true[everyone, best] / _SUBSETS
            excess[:, column] += (true[everyone, chosen] - true[everyone, best]) / _SUBSETS
    return [
        DistanceRow(keys.name, count, query, float(nearest[query, column]), float(excess[query, column]))
        for column, count in enumerate(counts)
        for query in everyone.tolist()
    ]


def _distances(queries: NDArray[np.float64], references: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean, [query, reference]."""
    squares = (queries**2).sum(axis=1)[:, None] + (references**2).sum(axis=1) - 2.0 * queries @ references.T
    result: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0))
    return result
