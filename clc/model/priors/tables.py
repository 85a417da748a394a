"""Frozen integer frequency tables: what turns distribution parameters into code lengths.

The Gaussian scale of a latent is one of `SCALE_LEVELS` values, so a table per level is enough. Tables are computed
once, when a model is frozen, and stored in it as integers: no later machine evaluates a Gaussian again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

SCALE_LEVELS = 64
SCALE_MIN = 0.11
# The highest level has a scale of 256: this is ln(256 / SCALE_MIN) / (SCALE_LEVELS - 1), as a literal because decoders
# compute with it and logarithms are not rounded alike everywhere.
LOG_SCALE_STEP = 0.12305479932808386

FREQUENCY_BITS = 20
"""Frequencies of one table sum to 2**FREQUENCY_BITS."""

# Latents have heavier tails than the Gaussian that predicts them: a wide table, in which the outermost symbols share
# the smallest frequency, costs less than escapes do.
_RADIUS_DEVIATIONS = 8.0
OUTLIERS = 0.01
"""Share of the symbols that the tables expect to be outliers: measured on coded photos."""
OUTLIER_DEVIATION = 3.0
"""Their deviation, in units of the others'."""
_TAIL = 2.0**-18  # probability mass per side of a factorised table that is left to the escape symbol


@dataclass(frozen=True)
class FrequencyTables:
    """One integer frequency table per distribution, over the symbols -radius..radius and an escape, in that order.

    radius: int32 [N]; frequencies: int32 [sum of (2·radius + 2)], concatenated.
    """

    radius: NDArray[np.int32]
    frequencies: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.radius)

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """(radius, frequencies [2·radius + 2]) of each distribution."""
        bounds = np.concatenate([[0], np.cumsum(2 * self.radius.astype(np.int64) + 2)])
        if bounds[-1] != len(self.frequencies):
            raise ValueError("frequency tables and radii do not match")
        for index, radius in enumerate(self.radius):
            yield int(radius), self.frequencies[bounds[index] : bounds[index + 1]]

    @classmethod
    def from_probabilities(cls, tables: list[NDArray[np.float64]]) -> "FrequencyTables":
        """Quantise probabilities over -radius..radius (odd lengths); what they lack to 1 goes to the escape."""
        frequencies = [_quantise(np.append(p, max(0.0, 1.0 - p.sum()))) for p in tables]
        return cls(
            radius=np.array([len(p) // 2 for p in tables], dtype=np.int32),
            frequencies=np.concatenate(frequencies),
        )


def gaussian_tables() -> FrequencyTables:
    """Tables of N(0, σ²), with 1 % of N(0, 9σ²), integrated over unit bins, for each of the `SCALE_LEVELS` scales."""
    tables = []
    for level in range(SCALE_LEVELS):
        scale = SCALE_MIN * math.exp(level * LOG_SCALE_STEP)
        radius = max(1, math.ceil(scale * _RADIUS_DEVIATIONS))
        edges = (np.arange(-radius, radius + 2) - 0.5) / scale
        normal, outliers = (
            np.diff(torch.special.ndtr(torch.from_numpy(edges / deviation)).numpy())
            for deviation in (1.0, OUTLIER_DEVIATION)
        )
        tables.append((1 - OUTLIERS) * normal + OUTLIERS * outliers)
    return FrequencyTables.from_probabilities(tables)


def trim(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink a symmetric support -R..R to the smallest one that leaves at most the tail mass outside."""
    radius = len(probabilities) // 2
    while radius > 1:
        inner = probabilities[1:-1]
        if 1.0 - inner.sum() > 2 * _TAIL:
            break
        probabilities, radius = inner, radius - 1
    return probabilities


def _quantise(probabilities: NDArray[np.float64]) -> NDArray[np.int32]:
    """Integers ≥ 1 that sum to 2**FREQUENCY_BITS, proportional to `probabilities`."""
    total = 2**FREQUENCY_BITS
    spare = total - len(probabilities)
    if spare < 0:
        raise ValueError(f"{len(probabilities)} symbols do not fit into {FREQUENCY_BITS}-bit frequencies")
    frequencies = 1 + np.floor(probabilities / probabilities.sum() * spare).astype(np.int64)
    frequencies[np.argmax(frequencies)] += total - frequencies.sum()
    return frequencies.astype(np.int32)
