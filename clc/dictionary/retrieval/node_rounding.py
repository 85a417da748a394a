"""Displacements of nodes in whole steps: those that take the fewest bits, their own counted.

The nearest step explains a picture best, but its last digits are noise, and noise takes bits. Iterated conditional
modes (Besag, On the Statistical Analysis of Dirty Pictures, 1986): every second node of every second row is changed at
a time; what one of these costs does not depend on the others.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from clc.codec.references.displacement_section import Bits, bits_like
from clc.codec.references.displacements import MAX_NODE, NODE_STEPS

_SWEEPS = 8
_CHANGES = (-4, -3, -2, -1, 1, 2, 3, 4)  # steps


def rounded(field: NDArray[np.float64], curvature: csr_array, pull: NDArray[np.float64]) -> NDArray[np.int32]:
    """Steps of the nodes of a field [rows, columns, 2], in pixels.

    curvature [2n, 2n], pull [2n], first all x, then all y: a change d of the field, in pixels, makes the picture take
    d·curvature·d − 2·pull·d more bits.
    """
    exact = field * NODE_STEPS
    values = np.clip(np.rint(exact), -MAX_NODE, MAX_NODE).astype(np.int32)
    quadratic = curvature / NODE_STEPS**2, pull / NODE_STEPS
    for _ in range(_SWEEPS):
        before, bits = values.copy(), bits_like(values)
        for row, column, axis in product(range(2), range(2), range(2)):
            nodes = np.s_[row::2, column::2, axis]
            values[nodes] += _best_changes(values, nodes, exact, quadratic, bits)
        if np.array_equal(values, before):
            break
    return values


def _best_changes(
    values: NDArray[np.int32],
    nodes: tuple[slice, slice, int],
    exact: NDArray[np.float64],
    quadratic: tuple[csr_array, NDArray[np.float64]],
    bits: Bits,
) -> NDArray[np.int32]:
    """By how many steps each of the nodes changes."""
    curvature, pull = quadratic
    slope = 2 * (curvature @ _one_after_the_other(values - exact) - pull)
    slope, own = (_as_field(each, values.shape)[nodes] for each in (slope, curvature.diagonal()))
    now = bits(values)
    best, least = np.zeros_like(values[nodes]), np.zeros(values[nodes].shape)
    for change in _CHANGES:
        changed = values.copy()
        changed[nodes] += change
        more = bits(changed) - now
        together = more.copy()  # with the nodes that a node predicts
        together[:, :-1] += more[:, 1:]
        together[:-1] += more[1:]
        cost = together[nodes] + change * slope + change**2 * own
        better = (cost < least) & (np.abs(changed[nodes]) <= MAX_NODE)
        best[better], least[better] = change, cost[better]
    return best


def _one_after_the_other(field: NDArray[np.float64]) -> NDArray[np.float64]:
    return field.transpose(2, 0, 1).ravel()


def _as_field(numbers: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return numbers.reshape(2, *shape[:2]).transpose(1, 2, 0)
