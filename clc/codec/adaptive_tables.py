"""Frequency tables that adapt to the symbols seen so far, in integers, so that they are the same everywhere."""

from collections.abc import Sequence

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.model.priors.tables import FREQUENCY_BITS

WEIGHT = 8
"""What one symbol adds to its count."""
_MOST = 2**14  # sum of counts beyond which all are halved


class AdaptiveTable:
    """Counts of the symbols 0..n-1.

    first: what each counts at first, at least 1.
    """

    def __init__(self, first: Sequence[int] | NDArray[np.int64]) -> None:
        self._counts = np.array(first, dtype=np.int64)

    def model(self) -> constriction.stream.model.Categorical:
        """What the next symbols are coded with: frequencies that add up to 2^20, each at least 1."""
        total = 2**FREQUENCY_BITS
        frequencies = 1 + self._counts * (total - len(self._counts)) // int(self._counts.sum())
        frequencies[np.argmax(frequencies)] += total - frequencies.sum()
        return constriction.stream.model.Categorical(frequencies / float(total), perfect=False)

    def count(self, symbols: NDArray[np.int32]) -> None:
        """Learn from symbols that were coded."""
        self._counts += WEIGHT * np.bincount(symbols, minlength=len(self._counts))
        while self._counts.sum() > _MOST:
            self._counts = (self._counts + 1) // 2
