"""The coder of the latent: what the prior is sure of costs next to nothing, and is still never lost.

At scale level 0 nearly all symbols are 0, and they are most of all symbols. They are coded in groups, a flag for each
that says whether there is another symbol in it, so that 64 zeros cost 0.006 bits and the time of one symbol.
"""

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.entropy import TableCoder
from clc.model.priors.tables import FREQUENCY_BITS, FrequencyTables

GROUP = 64
"""Symbols at scale level 0 that share a flag."""

LATENT_LIMIT = 2000.0
"""Largest magnitude of y_f in steps: far beyond what g_a gives, below `LARGEST_INPUT` of the exact layers."""

_TOTAL = 2**FREQUENCY_BITS
# Of photos, one symbol in 17,000 at scale level 0 is not 0, and one in 300 of those is neither 1 nor -1.
_FLAGGED = 2**12
_SIGNED, _ESCAPED = 2**13, 2**8
_FLAGS = constriction.stream.model.Categorical(np.array([_TOTAL - _FLAGGED, _FLAGGED]) / _TOTAL, perfect=False)
_WITHIN = FrequencyTables(
    radius=np.array([1], dtype=np.int32),
    frequencies=np.array([_SIGNED, _TOTAL - 2 * _SIGNED - _ESCAPED, _SIGNED, _ESCAPED], dtype=np.int32),
)


class LatentCoder:
    """Codes blocks of ŷ's symbols with frozen frequency tables; the last block pushed is the first to be popped.

    omits: as format versions 4 and 5 did, in which symbols at level 0 are 0 and not coded.

    >>> from clc.model.priors.tables import gaussian_tables
    >>> coder = LatentCoder(TableCoder(gaussian_tables()))
    >>> symbols, levels = np.array([0, -3, 2], np.int32), np.array([0, 20, 0], np.int32)
    >>> stack = coder.tables.empty()
    >>> coder.push(stack, symbols, levels)
    >>> coder.pop(coder.tables.open(coder.tables.close(stack)), levels)
    array([ 0, -3,  2], dtype=int32)
    """

    def __init__(self, tables: TableCoder, omits: bool = False) -> None:
        self.tables = tables
        self._omits = omits
        self._within = TableCoder(_WITHIN)

    def push(
        self, stack: constriction.stream.stack.AnsCoder, symbols: NDArray[np.int32], levels: NDArray[np.int32]
    ) -> None:
        """Push one block: symbols [n] with the scale level of each [n]. Not for a coder that omits."""
        loud = levels > 0
        quiet = symbols[~loud]
        flags = np.logical_or.reduceat(quiet != 0, np.arange(0, len(quiet), GROUP)) if len(quiet) else quiet
        within = quiet[_spread(flags, len(quiet))]
        self._within.push(stack, within, np.zeros_like(within))
        stack.encode_reverse(flags.astype(np.int32), _FLAGS)
        self.tables.push(stack, symbols[loud], levels[loud])

    def pop(self, stack: constriction.stream.stack.AnsCoder, levels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Pop the block that was pushed with the same scale levels [n]; its symbols, int32 [n]."""
        symbols = np.zeros(len(levels), dtype=np.int32)
        loud = levels > 0
        symbols[loud] = self.tables.pop(stack, levels[loud])
        if self._omits:
            return symbols
        places = np.flatnonzero(~loud)
        flags = stack.decode(_FLAGS, -(-len(places) // GROUP))
        within = places[_spread(flags, len(places))]
        symbols[within] = self._within.pop(stack, np.zeros(len(within), dtype=np.int32))
        return symbols


def _spread(flags: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Flags of groups [⌈count/64⌉] → flags of symbols [count]."""
    spread: NDArray[np.bool_] = np.repeat(flags.astype(bool), GROUP)[:count]
    return spread
