"""The symbols that are in a stream, with the tables that they were coded with."""

from dataclasses import dataclass

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.codec import Codec
from clc.codec.decoder import Decoder
from clc.codec.entropy import TableCoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.latent_coder import LatentCoder, PreparedBlock
from clc.model.priors.tables import FrequencyTables


@dataclass(frozen=True)
class CodedSymbols:
    """Symbols int32 [n], coded in one go, and the table index of each."""

    symbols: NDArray[np.int32]
    table: NDArray[np.int32]


@dataclass(frozen=True)
class StreamSymbols:
    """Of a stream: blocks of ẑ, and those of ŷ at scale levels above 0; flags int32 [n] of groups of symbols at level
    0, and the symbols of the groups that have one, in all blocks.
    """

    hyper: list[CodedSymbols]
    latent: list[CodedSymbols]
    flags: NDArray[np.int32]
    within: NDArray[np.int32]


def read_symbols(codec: Codec, data: bytes) -> StreamSymbols:
    """What is in a stream, as `codec` decodes it. Raises what decoding raises."""
    network = FrozenModel(codec.model, codec.model_id)
    hyper, latent = _Listener(codec.model.hyper_tables), _Listener(codec.model.latent_tables)
    network.hyper_tables, network.latent_tables = hyper, latent
    listeners: list[_LatentListener] = []

    def listening(*, omits: bool = False) -> LatentCoder:
        listeners.append(_LatentListener(latent, omits))
        return listeners[-1]

    network.latent_coder = listening  # type: ignore[method-assign]
    Decoder(network, codec.lookup).decompress(data)
    quiet = [block for listener in listeners for block in listener.blocks]
    flags, within = (
        np.concatenate([np.empty(0, np.int32), *(getattr(block, of) for block in quiet)]) for of in ("flags", "within")
    )
    return StreamSymbols(hyper.blocks, latent.blocks, flags, within)


class _Listener(TableCoder):
    """A coder that remembers what it gives away."""

    def __init__(self, tables: FrequencyTables) -> None:
        super().__init__(tables)
        self.blocks: list[CodedSymbols] = []

    def pop(self, stack: object, table: NDArray[np.int32]) -> NDArray[np.int32]:
        symbols = super().pop(stack, table)
        self.blocks.append(CodedSymbols(symbols, table))
        return symbols


class _LatentListener(LatentCoder):
    """Likewise."""

    def __init__(self, tables: TableCoder, omits: bool) -> None:
        super().__init__(tables, omits)
        self.blocks: list[PreparedBlock] = []

    def pop(self, stack: constriction.stream.stack.AnsCoder, levels: NDArray[np.integer]) -> NDArray[np.int32]:
        symbols = super().pop(stack, levels)
        self.blocks.append(self.prepared(symbols, levels))
        return symbols
