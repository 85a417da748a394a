"""The latent's symbols where the prior goes band by band: what `Prior.decode` asks for, of large photos."""

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.decisions.rounding import symbols_near
from clc.codec.latent_coder import LATENT_LIMIT, LatentCoder, PreparedBlock
from clc.codec.scaled_latent import ScaledLatent
from clc.errors import BitstreamError
from clc.model.priors.banded import PartlyDecoded
from clc.model.priors.stages import Block
from clc.runtime.advance import Step, advanced
from clc.runtime.freed_memory import give_back_freed_memory


class WrittenBands:
    """An encoder's: chooses the symbols, and keeps them for `close`.

    aim: what they shall come near. weight: as of an `Aim`.
    """

    def __init__(self, coder: LatentCoder, aim: ScaledLatent, weight: Tensor | None) -> None:
        self._coder, self._aim, self._weight = coder, aim, weight
        self._prepared: list[PreparedBlock] = []
        self._done = 0
        self._symbols: NDArray[np.int16] | None = None  # of the block at hand, as they lie in memory
        self._levels: NDArray[np.uint8] | None = None

    def band(self, block: Block, rows: slice, mean: Tensor, level: Tensor, latent: PartlyDecoded) -> None:
        """Choose the symbols of some rows."""
        self._done += mean.numel()
        advanced(Step.CODING, self._done / latent.values.numel())
        weight = None if self._weight is None else block.each(self._weight)
        symbols = symbols_near(self._aim.of(block, rows), mean, level, weight)
        if self._symbols is None or self._levels is None:
            shape = _shape(block, latent)
            self._symbols, self._levels = np.empty(shape, np.int16), np.empty(shape, np.uint8)
        own = _rows_of(block, rows)
        self._symbols[:, :, own] = symbols.numpy()
        self._levels[:, :, own] = level.numpy()
        values = symbols.add_(mean)  # from here on, the latent may be gone: ŷ may lie where it did
        for place, decoded in zip(latent.of(block, rows), values.chunk(len(values)), strict=True):
            place.copy_(decoded)

    def end(self, block: Block, latent: PartlyDecoded) -> None:
        """Keep the block as small as it can be."""
        assert self._symbols is not None
        assert self._levels is not None
        self._prepared.append(self._coder.prepared(self._symbols.ravel(), self._levels.ravel()))
        self._symbols = self._levels = None
        give_back_freed_memory()

    def close(self) -> bytes:
        """The stream of all blocks."""
        stack = self._coder.tables.empty()
        while self._prepared:  # a stack: the block decoded first is pushed last
            self._coder.push_prepared(stack, self._prepared.pop())
        give_back_freed_memory()
        return self._coder.tables.close(stack)


class ReadBands:
    """A decoder's: reads the symbols of a block once its scale levels are known."""

    def __init__(self, coder: LatentCoder, stack: constriction.stream.stack.AnsCoder) -> None:
        self._coder, self._stack = coder, stack
        self._levels: NDArray[np.uint8] | None = None
        self._done = 0

    def band(self, block: Block, rows: slice, mean: Tensor, level: Tensor, latent: PartlyDecoded) -> None:
        """Keep the means where the block's values will be, and the levels."""
        self._done += mean.numel()
        advanced(Step.DECODING, self._done / latent.values.numel())
        if self._levels is None:
            self._levels = np.empty(_shape(block, latent), np.uint8)
        self._levels[:, :, _rows_of(block, rows)] = level.numpy()
        for place, own in zip(latent.of(block, rows), mean.chunk(len(mean)), strict=True):
            place.copy_(own)

    def end(self, block: Block, latent: PartlyDecoded) -> None:
        """Read the block, and add its symbols to the means. Raises BitstreamError for what no encoder writes."""
        assert self._levels is not None
        shape, levels = self._levels.shape, self._levels.ravel()
        self._levels = None
        symbols = torch.from_numpy(self._coder.pop(self._stack, levels).reshape(shape))
        places = latent.of(block, slice(None))
        for place, own in zip(places, symbols.split(1), strict=True):
            for values, some in zip(place.split(1, dim=1), own.split(1, dim=1), strict=True):
                values += some
                if values.abs().max() > LATENT_LIMIT + 0.5:  # the next slice would not be computed exactly
                    raise BitstreamError("entropy-coded stream is damaged: a value of the latent is out of range")


def _shape(block: Block, latent: PartlyDecoded) -> tuple[int, ...]:
    """Of the block in all rows, as `Block.of` has it."""
    places = latent.of(block, slice(None))
    return (len(places), *places[0].shape[1:])


def _rows_of(block: Block, rows: slice) -> slice:
    return slice(rows.start // 2, rows.stop // 2) if block.phases else rows
