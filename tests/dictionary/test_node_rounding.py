"""Displacements of nodes in whole steps: where a digit explains less than it takes, it is left out."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import eye_array

from clc.codec.references.displacement_section import bits_like, pack_displacements
from clc.codec.references.displacements import MAX_NODE, NODE_STEPS, Displacements
from clc.dictionary.retrieval.node_rounding import rounded

SHAPE = 12, 16, 2
NODES = SHAPE[0] * SHAPE[1] * SHAPE[2]
Field = NDArray[np.float64]


@pytest.fixture
def noise() -> Field:
    return np.random.default_rng(0).normal(0.0, 0.25, SHAPE)


def of(field: Field, worth: float) -> NDArray[np.int32]:
    """worth: bits that a displacement by a pixel takes."""
    return rounded(field, (worth * eye_array(NODES)).tocsr(), np.zeros(NODES))


def taken(values: NDArray[np.int32]) -> int:
    return len(pack_displacements((Displacements(32, values),)) or b"")


def test_where_every_step_explains_much_the_nearest_ones_are_taken(noise: Field) -> None:
    assert np.array_equal(of(noise, 1e9), np.rint(noise * NODE_STEPS))


def test_where_steps_explain_little_nodes_are_alike_and_take_few_bytes(noise: Field) -> None:
    values = of(2.0 + noise, 0.5)
    assert taken(values) < 0.6 * taken(np.rint((2.0 + noise) * NODE_STEPS).astype(np.int32))
    assert abs(values.mean() / NODE_STEPS - 2.0) < 0.25


def test_no_choice_takes_more_than_the_nearest_steps(noise: Field) -> None:
    for worth in (1.0, 30.0, 300.0):
        values, nearest = of(noise, worth), np.rint(noise * NODE_STEPS).astype(np.int32)
        costs = [
            bits_like(values)(each).sum() + worth * ((each / NODE_STEPS - noise) ** 2).sum()
            for each in (values, nearest)
        ]
        assert costs[0] <= costs[1]


def test_a_pull_moves_nodes() -> None:
    nothing = np.zeros(SHAPE)
    values = rounded(nothing, (1e5 * eye_array(NODES)).tocsr(), np.full(NODES, 1e5))
    assert (values == NODE_STEPS).all()


def test_no_node_goes_further_than_streams_allow() -> None:
    assert np.abs(of(np.full(SHAPE, 1e4), 1e5)).max() == MAX_NODE


@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 7, 2), (2, 1, 2)])
def test_grids_of_any_size_are_rounded(shape: tuple[int, int, int]) -> None:
    values = rounded(np.full(shape, 0.4), 1e5 * eye_array(int(np.prod(shape))).tocsr(), np.zeros(int(np.prod(shape))))
    assert (values == 3).all()
