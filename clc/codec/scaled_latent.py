"""The latent in quantisation steps, as far as it is looked at: of a large photo, some channels of some rows."""

from dataclasses import dataclass

from torch import Tensor

from clc.codec.latent_coder import LATENT_LIMIT
from clc.model.priors.stages import Block

_ALL = slice(None)


@dataclass(frozen=True)
class ScaledLatent:
    """latent: [1, C, h, w]; gain: factors [1, C, 1, 1] that bring it to quantisation steps, None if it is in them.

    lent: somebody else needs the latent as it is.
    """

    latent: Tensor
    gain: Tensor | None
    lent: bool = True

    def rows(self, rows: slice = _ALL, channels: slice = _ALL) -> Tensor:
        """Some channels in some rows, within what the coder takes: float32 [1, c, rows, w], contiguous."""
        part = self.latent[:, channels, rows]
        scaled = part if self.gain is None else part * self.gain[:, channels]
        # In the decoder's layout in memory: the last digit of g_s depends on it.
        return scaled.clamp(-LATENT_LIMIT, LATENT_LIMIT).contiguous()

    def of(self, block: Block, rows: slice) -> Tensor:
        """A block's part in some rows, float64, as `Block.of` has it."""
        own = self.rows(rows, slice(block.start, block.end)).double()
        return Block(0, block.end - block.start, block.phases).of(own)
