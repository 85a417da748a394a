"""Symbols a second through the table coder alone, beside CompressAI's coder of Python lists.

The symbols are the ŷ of one photo at three qualities. One thread; runs interleaved; medians. CompressAI's tables are
built for the same 64 scales.
"""

import argparse
import math
from functools import partial

import numpy as np
import torch
from compressai.entropy_models import GaussianConditional

from benchmarks.codec import subject
from benchmarks.codec.symbols import CodedSymbols, read_symbols
from benchmarks.codec.timing import interleaved_medians
from benchmarks.printing import print_table
from clc.codec.entropy import TableCoder
from clc.model.priors.tables import LOG_SCALE_STEP, SCALE_LEVELS, SCALE_MIN

_QUALITIES = (10.0, 50.0, 90.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, and --rounds."""
    subject.add_options(parser)
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each coder")


def run(options: argparse.Namespace) -> int:
    """Print a row per quality and coder."""
    torch.set_num_threads(1)
    options.limit = 1
    codec = subject.open_subject(options).codec()
    photo = subject.open_photos(options)[0]
    rivals = {"clc TableCoder": _Ours(TableCoder(codec.model.latent_tables)), "CompressAI rANS": _CompressAI()}
    rows = []
    for quality in _QUALITIES:
        blocks = read_symbols(codec, codec.compress(photo.pixels, quality=quality, references=False)).latent
        block = CodedSymbols(np.concatenate([b.symbols for b in blocks]), np.concatenate([b.table for b in blocks]))
        rows += _compare(rivals, block, quality, options.rounds)
    print(f"\nŷ of {photo.image_id} ({photo.pixels.shape[1]}×{photo.pixels.shape[0]})\n")
    print_table(["quality", "symbols", "coder", "encode, M/s", "decode, M/s", "bytes"], rows)
    return 0


class _Ours:
    def __init__(self, coder: TableCoder) -> None:
        self._coder = coder

    def encode(self, block: CodedSymbols) -> bytes:
        stack = self._coder.empty()
        self._coder.push(stack, block.symbols, block.table)
        return self._coder.close(stack)

    def decode(self, data: bytes, block: CodedSymbols) -> np.ndarray:
        return self._coder.pop(self._coder.open(data), block.table)


class _CompressAI:
    def __init__(self) -> None:
        self._model = GaussianConditional([SCALE_MIN * math.exp(i * LOG_SCALE_STEP) for i in range(SCALE_LEVELS)])
        self._model.update()

    def encode(self, block: CodedSymbols) -> bytes:
        symbols, table = (torch.from_numpy(array)[None] for array in (block.symbols, block.table))
        strings: list[bytes] = self._model.compress(symbols.float(), table)
        return strings[0]

    def decode(self, data: bytes, block: CodedSymbols) -> np.ndarray:
        return self._model.decompress([data], torch.from_numpy(block.table)[None])[0].numpy()


def _compare(
    rivals: dict[str, _Ours | _CompressAI], block: CodedSymbols, quality: float, rounds: int
) -> list[list[object]]:
    streams = {name: rival.encode(block) for name, rival in rivals.items()}
    for name, rival in rivals.items():
        if not np.array_equal(rival.decode(streams[name], block), block.symbols):
            raise ValueError(f"{name} does not give its symbols back")
    encode = interleaved_medians({name: partial(rival.encode, block) for name, rival in rivals.items()}, rounds)
    decode = interleaved_medians(
        {name: partial(rival.decode, streams[name], block) for name, rival in rivals.items()}, rounds
    )
    millions = len(block.symbols) / 1e6
    return [
        [quality, len(block.symbols), name, millions / encode[name], millions / decode[name], len(streams[name])]
        for name in rivals
    ]
