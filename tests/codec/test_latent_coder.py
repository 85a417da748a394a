"""Symbols where the prior is sure: nearly free, and never lost."""

import numpy as np
import pytest

from clc.codec.entropy import TableCoder
from clc.codec.latent_coder import GROUP, LatentCoder
from clc.model.priors.tables import gaussian_tables


@pytest.fixture(scope="module")
def coder() -> LatentCoder:
    return LatentCoder(TableCoder(gaussian_tables()))


@pytest.mark.parametrize("count", [0, 1, GROUP - 1, GROUP, GROUP + 1, 5000])
def test_every_symbol_comes_back(coder: LatentCoder, count: int) -> None:
    generator = np.random.default_rng(count)
    levels = np.where(generator.random(count) < 0.8, 0, generator.integers(0, 64, count)).astype(np.int32)
    symbols = np.where(generator.random(count) < 0.9, 0, generator.integers(-400, 400, count)).astype(np.int32)
    stack = coder.tables.empty()
    for block in (symbols, -symbols):
        coder.push(stack, block, levels)
    received = coder.tables.open(coder.tables.close(stack))
    assert np.array_equal(coder.pop(received, levels), -symbols)
    assert np.array_equal(coder.pop(received, levels), symbols)
    coder.tables.check_end(received)


def test_a_hundred_thousand_zeros_take_two_words_at_most(coder: LatentCoder) -> None:
    stack = coder.tables.empty()
    zeros = np.zeros(100_000, dtype=np.int32)
    coder.push(stack, np.ones(1, dtype=np.int32), np.full(1, 20, dtype=np.int32))
    coder.push(stack, zeros, zeros)
    assert len(coder.tables.close(stack)) <= 8


def test_a_surprise_among_them_takes_less_than_three_bytes(coder: LatentCoder) -> None:
    levels = np.zeros(64 * 400, dtype=np.int32)
    symbols = levels.copy()
    symbols[::256] = 1
    stack = coder.tables.empty()
    coder.push(stack, symbols, levels)
    assert len(coder.tables.close(stack)) < 3 * (symbols != 0).sum()


def test_older_streams_hold_nothing_at_level_0() -> None:
    tables = TableCoder(gaussian_tables())
    levels, symbols = np.array([0, 9, 0], np.int32), np.array([0, 2, 0], np.int32)
    stack = tables.empty()
    tables.push(stack, symbols[1:2], levels[1:2])
    received = tables.open(tables.close(stack))
    assert np.array_equal(LatentCoder(tables, omits=True).pop(received, levels), symbols)
    tables.check_end(received)
