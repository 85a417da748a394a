"""The coder of the latent: what the prior is sure of costs next to nothing, and is still never lost.

At scale level 0 nearly all symbols are 0, and they are most of all symbols. They are coded in groups, a flag for each
that says whether there is another symbol in it, so that 64 zeros cost 0.006 bits and the time of one symbol.
"""

from dataclasses import dataclass

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.entropy import TableCoder
from clc.model.priors.tables import FREQUENCY_BITS, FrequencyTables

GROUP = 64
"""Symbols at scale level 0 that share a flag."""

LATENT_LIMIT = 2000.0
"""Largest magnitude of y_f in steps: far beyond what g_a gives, below `LARGEST_INPUT` of the exact layers."""

_AT_ONCE = 2**22  # symbols that are prepared
_TOTAL = 2**FREQUENCY_BITS
# Of photos, one symbol in 17,000 at scale level 0 is not 0, and one in 300 of those is neither 1 nor -1.
FLAGGED = 2**12
"""Of 2^FREQUENCY_BITS: how often a group has a flag."""
_SIGNED, _ESCAPED = 2**13, 2**8
_FLAGS = constriction.stream.model.Categorical(np.array([_TOTAL - FLAGGED, FLAGGED]) / _TOTAL, perfect=False)
WITHIN = FrequencyTables(
    radius=np.array([1], dtype=np.int32),
    frequencies=np.array([_SIGNED, _TOTAL - 2 * _SIGNED - _ESCAPED, _SIGNED, _ESCAPED], dtype=np.int32),
)
"""Of the symbols of a group that has one."""


@dataclass(frozen=True)
class PreparedBlock:
    """A block's symbols, as they are written: at levels above 0, with these; flags of groups at level 0, and the
    symbols of groups with a flag.
    """

    loud: NDArray[np.integer]
    levels: NDArray[np.integer]
    flags: NDArray[np.int32]
    within: NDArray[np.integer]


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
        self._within = TableCoder(WITHIN)

    def push(
        self, stack: constriction.stream.stack.AnsCoder, symbols: NDArray[np.integer], levels: NDArray[np.integer]
    ) -> None:
        """Push one block: symbols [n] with the scale level of each [n]. Not for a coder that omits."""
        self.push_prepared(stack, self.prepared(symbols, levels))

    def prepared(self, symbols: NDArray[np.integer], levels: NDArray[np.integer]) -> PreparedBlock:
        """What `push` pushes of a block, for later: zeros at level 0 take no room in it."""
        loud, quiet = [], symbols[:0]
        flags, within = [], []
        for start in range(0, max(1, len(symbols)), _AT_ONCE):
            own, their_levels = symbols[start : start + _AT_ONCE], levels[start : start + _AT_ONCE]
            coded = their_levels > 0
            loud.append((own[coded], their_levels[coded]))
            quiet = np.concatenate([quiet, own[~coded]])
            ends = len(quiet) if start + _AT_ONCE >= len(symbols) else len(quiet) // GROUP * GROUP
            flags.append(_flags_of(quiet[:ends]))
            within.append(quiet[:ends][_spread(flags[-1], ends)])
            quiet = quiet[ends:]
        own, their_levels = (np.concatenate(parts) for parts in zip(*loud, strict=True))
        return PreparedBlock(own, their_levels, np.concatenate(flags), np.concatenate(within))

    def push_prepared(self, stack: constriction.stream.stack.AnsCoder, block: PreparedBlock) -> None:
        """Push a block that is prepared."""
        self._within.push(stack, block.within, np.zeros_like(block.within))
        stack.encode_reverse(block.flags, _FLAGS)
        self.tables.push(stack, block.loud, block.levels)

    def pop(self, stack: constriction.stream.stack.AnsCoder, levels: NDArray[np.integer]) -> NDArray[np.int32]:
        """Pop the block that was pushed with the same scale levels [n]; its symbols, int32 [n]."""
        symbols = np.zeros(len(levels), dtype=np.int32)
        loud = levels > 0
        symbols[loud] = self.tables.pop(stack, levels[loud])
        if self._omits:
            return symbols
        quiet = ~loud
        count = int(np.count_nonzero(quiet))
        flags = stack.decode(_FLAGS, -(-count // GROUP))
        quiet[quiet] = _spread(flags, count)  # from here on, those that were written one by one
        written = int(np.count_nonzero(quiet))
        symbols[quiet] = self._within.pop(stack, np.zeros(written, dtype=np.int32))
        return symbols


def _flags_of(quiet: NDArray[np.integer]) -> NDArray[np.int32]:
    """1 for each group of 64 that has a symbol other than 0."""
    if not len(quiet):
        return np.empty(0, dtype=np.int32)
    flags: NDArray[np.int32] = np.logical_or.reduceat(quiet != 0, np.arange(0, len(quiet), GROUP)).astype(np.int32)
    return flags


def _spread(flags: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Flags of groups [⌈count/64⌉] → flags of symbols [count]."""
    spread: NDArray[np.bool_] = np.repeat(flags.astype(bool), GROUP)[:count]
    return spread
