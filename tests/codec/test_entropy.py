"""What is pushed is popped, and costs what the tables say."""

import doctest
from bisect import bisect_right
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import clc.codec.entropy
import clc.codec.hyper_coder
import clc.model.network
from clc.codec.entropy import SYMBOL_LIMIT, TableCoder
from clc.errors import BitstreamError
from clc.model.priors.tables import FREQUENCY_BITS, LOG_SCALE_STEP, SCALE_MIN, gaussian_tables


@pytest.fixture(scope="module")
def coder() -> TableCoder:
    return TableCoder(gaussian_tables())


def sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 64, count).astype(np.int32)
    symbols = np.rint(generator.normal(0, SCALE_MIN * np.exp(levels * LOG_SCALE_STEP))).astype(np.int32)
    return symbols, levels


def test_blocks_come_back_in_reverse_order(coder: TableCoder) -> None:
    first, second = sample(3000, 1), sample(500, 2)
    stack = coder.empty()
    coder.push(stack, *second)
    coder.push(stack, *first)
    received = coder.open(coder.close(stack))
    assert np.array_equal(coder.pop(received, first[1]), first[0])
    assert np.array_equal(coder.pop(received, second[1]), second[0])


def test_symbols_beyond_the_radius_are_escaped(coder: TableCoder) -> None:
    symbols = np.array([SYMBOL_LIMIT, -SYMBOL_LIMIT, 0, 5, -5], dtype=np.int32)
    levels = np.array([0, 0, 0, 1, 63], dtype=np.int32)
    stack = coder.empty()
    coder.push(stack, symbols, levels)
    assert np.array_equal(coder.pop(coder.open(coder.close(stack)), levels), symbols)


def test_nothing_is_coded_as_nothing(coder: TableCoder) -> None:
    empty = np.empty(0, dtype=np.int32)
    stack = coder.empty()
    coder.push(stack, empty, empty)
    assert coder.close(stack) == b""
    assert len(coder.pop(coder.open(b""), empty)) == 0


def test_the_stream_is_as_long_as_the_tables_promise(coder: TableCoder) -> None:
    symbols, levels = sample(50_000)
    tables = list(gaussian_tables())
    bits = 0.0
    for symbol, level in zip(symbols, levels, strict=True):
        radius, frequencies = tables[level]
        if abs(symbol) > radius:
            bits += FREQUENCY_BITS - np.log2(frequencies[-1]) + 16
        else:
            bits += FREQUENCY_BITS - np.log2(frequencies[symbol + radius])
    stack = coder.empty()
    coder.push(stack, symbols, levels)
    assert 8 * len(coder.close(stack)) < 1.001 * bits + 64


def test_a_stream_that_is_no_stream_is_refused(coder: TableCoder) -> None:
    with pytest.raises(BitstreamError, match="whole number of words"):
        coder.open(b"abc")
    with pytest.raises(BitstreamError, match="damaged"):
        coder.open(b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("module", [clc.codec.entropy, clc.codec.hyper_coder, clc.model.network])
def test_the_examples_in_the_documentation_run(module: ModuleType) -> None:
    result = doctest.testmod(module, extraglobs={"np": np, "torch": torch})
    assert result.attempted > 0
    assert result.failed == 0


def test_the_words_of_a_stream_are_these(coder: TableCoder) -> None:
    """Written with constriction 0.5; if this fails, old files can no longer be read."""
    stack = coder.empty()
    coder.push(stack, *sample(24, seed=5))
    coder.push(stack, np.array([9000], np.int32), np.array([3], np.int32))
    assert coder.close(stack).hex() == GOLDEN


GOLDEN = "389c268ce60654204528a3f6f3ffffcb7f000000"


class FromTheDocument:
    """A decoder written from docs/bitstream.md, section "Entropy coding", and from nothing else."""

    def __init__(self, stream: bytes) -> None:
        self.words = np.frombuffer(stream, "<u4").tolist()
        self.state = 0
        self.refill()

    def refill(self) -> None:
        while self.words and self.state < 2**32:
            self.state = self.state << 32 | self.words.pop()

    def pop(self, splits: list[int]) -> int:
        """The symbol of the interval that the state is in."""
        q = self.state % 2**24
        symbol = bisect_right(splits, q) - 1
        self.state = (self.state >> 24) * (splits[symbol + 1] - splits[symbol]) + q - splits[symbol]
        self.refill()
        return symbol


def split(frequencies: NDArray[np.int32]) -> list[int]:
    n = len(frequencies)
    before = [sum(frequencies[:i].tolist()) for i in range(n)]
    return [total * (2**24 - n) // 2**20 + i for i, total in enumerate(before)] + [2**24]


@pytest.mark.medium
def test_the_format_document_is_enough_to_decode_a_string(coder: TableCoder) -> None:
    tables = list(gaussian_tables())
    generator = np.random.default_rng(1)
    used = generator.integers(1, len(tables), 300).astype(np.int32)
    symbols = generator.normal(0, 4, 300).round().astype(np.int32)
    symbols[[7, 80]] = 3000, -3000  # escapes
    stack = coder.empty()
    coder.push(stack, symbols, used)
    decoder = FromTheDocument(coder.close(stack))
    found = np.empty_like(symbols)
    for index in np.unique(used):
        radius, frequencies = tables[index]
        places = np.flatnonzero(used == index)
        found[places] = [decoder.pop(split(frequencies)) - radius for _ in places]
        for place in places[found[places] == radius + 1]:
            found[place] = decoder.pop(list(range(0, 2**24 + 1, 2**8))) - 32_768
    assert np.array_equal(found, symbols)
    assert (decoder.state, decoder.words) == (0, [])
