"""Who refers to whom: the plan of least predicted bytes, an uncapacitated facility-location problem.

Key photos are the facilities: opening one costs what its better quality takes beyond coding it like the others; every
other photo is coded alone or given the open key photo that predicts it best. Trees of depth 1: a forest.
Local search (open, close, swap) from several starts, after Arya et al., "Local Search Heuristics for k-Median and
Facility Location Problems" (SIAM J. Comput. 33, 2004); on sets small enough to try all it nearly always finds the best.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clc.archive.plan import Plan

_MOST_EXHAUSTIVE = 16
_SINGLE_STARTS = 8
_MOST_SWAPPED = 64  # photos; beyond, to try all swaps would take minutes
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
    found = [_searched(predicted, start) for start in _starts(predicted)]
    return _assigned(predicted, min(found, key=predicted.total), most)


def _starts(predicted: PredictedBytes) -> Iterator[NDArray[np.bool_]]:
    """No key photo; all of them; and each of those that would save the most if they were the only one.

    A key photo that pays only together with another is found from the second, which closes one after the other.
    """
    count = len(predicted.alone)
    yield np.zeros(count, dtype=bool)
    yield np.ones(count, dtype=bool)
    if count > _MOST_SWAPPED:
        return
    totals = _totals_with_one_more(predicted, np.zeros(count, dtype=bool))
    for photo in np.argsort(totals, kind="stable")[:_SINGLE_STARTS]:
        yield np.arange(count) == photo


def _searched(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The local optimum that the best moves lead to: open or close one, and in small sets swap where neither helps."""
    best = predicted.total(keys)
    moves = (_best_step, _best_swap) if len(keys) <= _MOST_SWAPPED else (_best_step,)
    while True:
        for move in moves:
            total, candidate = move(predicted, keys)
            if total < best - _LEAST_GAIN * max(best, 1.0):
                keys, best = candidate, total
                break
        else:
            return keys


def _best_step(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> tuple[float, NDArray[np.bool_]]:
    """The best set with a key photo more or less; the first of equals."""
    totals = np.where(keys, _totals_with_one_less(predicted, keys), _totals_with_one_more(predicted, keys))
    photo = int(np.argmin(totals))
    changed = keys.copy()
    changed[photo] = not keys[photo]
    return float(totals[photo]), changed


def _best_swap(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> tuple[float, NDArray[np.bool_]]:
    """The best set with one key photo in the place of another; the first of equals."""
    best, chosen = np.inf, keys
    for closed in np.flatnonzero(keys):
        base = keys.copy()
        base[closed] = False
        totals = _totals_with_one_more(predicted, base)
        totals[closed] = np.inf
        opened = int(np.argmin(totals))
        if totals[opened] < best:
            best, chosen = float(totals[opened]), base.copy()
            chosen[opened] = True
    return best, chosen


def plan_exhaustively(predicted: PredictedBytes, *, most: int) -> Plan:
    """The plan of least predicted bytes, of all sets of key photos. Raises ValueError for more than 16 photos."""
    count = len(predicted.alone)
    if count > _MOST_EXHAUSTIVE:
        raise ValueError(f"2^{count} sets are too many to try; at most {_MOST_EXHAUSTIVE} photos")
    sets = (chosen for size in range(count + 1) for chosen in combinations(range(count), size))
    masks = (np.isin(np.arange(count), chosen) for chosen in sets)
    return _assigned(predicted, min(masks, key=predicted.total), most)


def _totals_with_one_less(predicted: PredictedBytes, keys: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bytes of all photos if each key photo [N] were none; infinite for those that are none anyway."""
    opened = np.flatnonzero(keys)
    given = predicted.given[:, opened].copy()
    given[opened, np.arange(len(opened))] = np.inf  # the diagonal
    given = np.column_stack([given, predicted.alone])
    nearest = given.argmin(axis=1)
    first = given[np.arange(len(keys)), nearest]
    given[np.arange(len(keys)), nearest] = np.inf
    second = np.minimum(given.min(axis=1), predicted.alone)
    costs = np.where(keys, predicted.key, first)
    lost = np.bincount(nearest, np.where(keys, 0.0, second - first), len(opened) + 1)[:-1]
    totals = np.full(len(keys), np.inf)
    totals[opened] = costs.sum() + lost - predicted.key[opened] + first[opened]
    return totals


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
