"""Who refers to whom: the plan of least predicted bytes, an uncapacitated facility-location problem.

Key photos are the facilities: opening one costs what its better quality takes beyond coding it like the others; every
other photo is coded alone or given the open key photo that predicts it best. Trees of depth 1: a forest.
Greedy opening, then local search (open, close, swap) after Arya et al., "Local Search Heuristics for k-Median and
Facility Location Problems" (SIAM J. Comput. 33, 2004), whose solutions are within a factor of 3 of the best; on sets
small enough to try all they nearly always are the best.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clc.archive.plan import Plan

_MOST_EXHAUSTIVE = 16
_LEAST_GAIN = 1e-9  # of all bytes: rounding is no gain


@dataclass(frozen=True, eq=False)
class PredictedBytes:
    """What coding N photos is predicted to take.

    alone: [N], each by itself. key: [N], each as a key photo. given: [N, N], row i, column k: photo i, referring to key
    photo k; infinite where that was not looked at, as for most pairs of a large set. The diagonal plays no part.
    """

    alone: NDArray[np.float64]
    key: NDArray[np.float64]
    given: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.alone)
        if self.key.shape != (count,) or self.given.shape != (count, count):
            raise ValueError(f"{count} photos, but keys {self.key.shape} and pairs {self.given.shape}")
        if np.any(np.isnan(self.given)) or not np.all(np.isfinite(np.concatenate([self.alone, self.key]))):
            raise ValueError("predictions must be numbers")

    def total(self, keys: NDArray[np.bool_]) -> float:
        """Bytes of all photos if these [N] are the key photos, and every other is coded in its cheapest way."""
        others = np.minimum(self.alone, self.given[:, keys].min(axis=1, initial=np.inf))
        return float(np.where(keys, self.key, others).sum())


def plan_forest(predicted: PredictedBytes, *, most: int) -> Plan:
    """The plan of least predicted bytes that the search finds; never more than coding each photo alone.

    most: key photos that a photo refers to at most, M. The first is the one that predicts it best; more are those next
    to it that help by themselves: what two help together, no matrix of pairs can say.
    """
    if most < 1:
        raise ValueError("a photo refers to at least one key photo, or there is nothing to plan")
    keys = np.zeros(len(predicted.alone), dtype=bool)
    best = predicted.total(keys)
    while True:
        candidate, total = _best_move(predicted, keys)
        if candidate is None or total >= best - _LEAST_GAIN * max(best, 1.0):
            return _assigned(predicted, keys, most)
        keys, best = candidate, total


def plan_exhaustively(predicted: PredictedBytes, *, most: int) -> Plan:
    """The plan of least predicted bytes, of all sets of key photos. Raises ValueError for more than 16 photos."""
    count = len(predicted.alone)
    if count > _MOST_EXHAUSTIVE:
        raise ValueError(f"2^{count} sets are too many to try; at most {_MOST_EXHAUSTIVE} photos")
    sets = (chosen for size in range(count + 1) for chosen in combinations(range(count), size))
    masks = (np.isin(np.arange(count), chosen) for chosen in sets)
    return _assigned(predicted, min(masks, key=predicted.total), most)


def _best_move(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> tuple[NDArray[np.bool_] | None, float]:
    """The best set one step away: a key photo more, one less, or one in the place of another; the first if equal."""
    best: tuple[NDArray[np.bool_] | None, float] = (None, np.inf)
    for closed in [None, *np.flatnonzero(keys)]:
        base = keys.copy()
        if closed is not None:
            base[closed] = False
            if (total := predicted.total(base)) < best[1]:
                best = (base, total)
        totals = _totals_with_one_more(predicted, base)
        if closed is not None:
            totals[closed] = np.inf
        opened = int(np.argmin(totals))
        if totals[opened] < best[1]:
            more = base.copy()
            more[opened] = True
            best = (more, float(totals[opened]))
    return best


def _totals_with_one_more(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bytes of all photos if each photo [N] were a key photo too; infinite for those that are."""
    others = np.minimum(predicted.alone, predicted.given[:, keys].min(axis=1, initial=np.inf))
    costs = np.where(keys, predicted.key, others)
    saved = np.where(keys[:, None], 0.0, np.maximum(costs[:, None] - predicted.given, 0.0))
    np.fill_diagonal(saved, 0.0)
    totals: NDArray[np.float64] = costs.sum() - saved.sum(axis=0) - costs + predicted.key
    totals[keys] = np.inf
    return totals


def _assigned(predicted: PredictedBytes, keys: NDArray[np.bool_], most: int) -> Plan:
    opened = np.flatnonzero(keys)
    references: list[tuple[int, ...]] = []
    for photo in range(len(keys)):
        helping = [] if keys[photo] else [key for key in opened if predicted.given[photo, key] < predicted.alone[photo]]
        nearest = sorted(helping, key=lambda key: (predicted.given[photo, key], key))[:most]
        references.append(tuple(map(int, nearest)))
    return Plan(tuple(references))
