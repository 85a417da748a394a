"""Choosing references: what predicts the latent is taken, and two that complete each other before two alike."""

import numpy as np
import torch

from clc.codec.decisions.reference_choice import choose
from clc.codec.references.protocols import ReferenceLatents

GAIN = torch.ones(1, 2, 1, 1)


def latents(*values: torch.Tensor) -> ReferenceLatents:
    stacked = torch.stack(values).to(torch.int8).numpy()
    return ReferenceLatents(stacked, np.zeros(2, np.int32), "2" * 16, "1" * 16)


def test_what_predicts_the_latent_is_chosen_for_each_tile() -> None:
    torch.manual_seed(0)
    tiles = torch.randint(-50, 50, (2, 2, 16, 16)).float()
    entries = latents(*torch.randint(-50, 50, (3, 2, 16, 16)), tiles[1] + 1, tiles[0] + 1)
    candidates = np.array([[0, 3, 4, 1], [4, 2, 1, 3]])
    chosen = choose(tiles, candidates, entries, GAIN, 2)
    assert chosen[:, 0].tolist() == [4, 3]
    assert all(len(set(row)) == 2 and set(row) <= set(own) for row, own in zip(chosen, candidates, strict=True))


def test_what_lies_beyond_the_latent_plays_no_part() -> None:
    torch.manual_seed(0)
    latent = torch.randint(10, 50, (1, 2, 8, 4)).float()
    alike = torch.full((2, 16, 16), 50.0)
    alike[:, :8, :4] = latent[0] + 2
    flat = torch.zeros(2, 16, 16)  # as what lies beyond
    assert choose(latent, np.array([[0, 1]]), latents(flat, alike), GAIN, 1).tolist() == [[1]]


def test_the_second_one_helps_where_the_first_does_not() -> None:
    torch.manual_seed(1)
    tile = torch.randint(-50, 50, (1, 2, 16, 16)).float()
    other = torch.randint(-50, 50, (2, 16, 16)).float()
    left = torch.arange(16) < 10
    first, twin = torch.where(left, tile[0], other), torch.where(left, tile[0] + 1, other)
    rest = torch.where(left, other, tile[0])
    chosen = choose(tile, np.array([[0, 1, 2]]), latents(first, twin, rest), GAIN, 2)
    assert chosen.tolist() == [[0, 2]]


def test_one_choice_for_all_tiles_is_the_best_for_them_together() -> None:
    torch.manual_seed(2)
    tiles = torch.randint(-50, 50, (2, 2, 16, 16)).float()
    middle = tiles.mean(dim=0)
    entries = latents(*torch.randint(-50, 50, (2, 2, 16, 16)), middle)
    assert choose(tiles / 4 + middle * 3 / 4, np.array([[0, 1, 2]]), entries, GAIN, 1).tolist() == [[2]]


def test_all_are_taken_if_there_are_no_more() -> None:
    tiles = torch.zeros(1, 2, 16, 16)
    same = torch.ones(2, 16, 16)
    chosen = choose(tiles, np.array([[2, 0, 1]]), latents(same, same, same), GAIN, 3)
    assert sorted(chosen[0].tolist()) == [0, 1, 2]
