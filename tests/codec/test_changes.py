"""Which symbols descent changes."""

import torch

from clc.codec.decisions.changes import best_changes
from clc.model.priors.stages import Block, at_phases


def test_the_best_symbol_of_each_position_changes_if_the_cost_falls() -> None:
    smaller = torch.tensor([[[[-1.0, 5.0, 3.0]], [[-4.0, 2.0, 1.0]]]])
    larger = torch.tensor([[[[7.0, -3.0, 0.5]], [[8.0, -2.0, 0.0]]]])
    assert best_changes(smaller, larger, 1.0).tolist() == [[[[0.0, 1.0, 0.0]], [[-1.0, 0.0, 0.0]]]]


def test_of_fewer_positions_those_that_save_most_change_and_at_least_one() -> None:
    smaller = -torch.arange(1.0, 9.0).reshape(1, 1, 2, 4)
    larger = torch.zeros_like(smaller)
    assert best_changes(smaller, larger, 0.5).flatten().tolist() == [0.0] * 4 + [-1.0] * 4
    assert best_changes(smaller, larger, 0.001).flatten().tolist() == [0.0] * 7 + [-1.0]


def test_where_nothing_saves_nothing_changes() -> None:
    worse = torch.ones(1, 3, 2, 2)
    assert not best_changes(worse, worse, 1.0).any()


def test_a_block_is_written_where_it_was_read() -> None:
    latent = torch.randn(2, 6, 4, 8)
    written = torch.zeros_like(latent)
    for block in (Block(0, 2, ((0, 0), (1, 1))), Block(0, 2, ((0, 1), (1, 0))), Block(2, 6)):
        assert torch.equal(block.of(latent), at_phases(latent[:, block.start : block.end], block.phases))
        block.put(written, block.of(latent))
    assert torch.equal(written, latent)
