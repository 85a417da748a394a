"""The symbols that are in a stream, with the tables that they were coded with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.codec.codec import Codec
from clc.codec.decoder import Decoder
from clc.codec.entropy import TableCoder
from clc.codec.frozen_model import FrozenModel
from clc.model.priors.tables import FrequencyTables


@dataclass(frozen=True)
class CodedSymbols:
    """Symbols int32 [n], coded in one go, and the table index of each."""

    symbols: NDArray[np.int32]
    table: NDArray[np.int32]


def read_symbols(codec: Codec, data: bytes) -> tuple[list[CodedSymbols], list[CodedSymbols]]:
    """The blocks of ẑ and those of ŷ, as `codec` decodes them. Raises what decoding raises."""
    network = FrozenModel(codec.model, codec.model_id)
    hyper, latent = _Listener(codec.model.hyper_tables), _Listener(codec.model.latent_tables)
    network.hyper_tables, network.latent_tables = hyper, latent
    Decoder(network, codec.lookup).decompress(data)
    return hyper.blocks, latent.blocks


class _Listener(TableCoder):
    """A coder that remembers what it gives away."""

    def __init__(self, tables: FrequencyTables) -> None:
        super().__init__(tables)
        self.blocks: list[CodedSymbols] = []

    def pop(self, stack: object, table: NDArray[np.int32]) -> NDArray[np.int32]:
        symbols = super().pop(stack, table)
        self.blocks.append(CodedSymbols(symbols, table))
        return symbols
