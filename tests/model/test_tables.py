"""Frequency tables are integers that sum to a power of two and lose next to nothing."""

import math

import numpy as np

from clc.model.priors.tables import (
    FREQUENCY_BITS,
    LOG_SCALE_STEP,
    SCALE_LEVELS,
    SCALE_MIN,
    FrequencyTables,
    gaussian_tables,
    trim,
)


def test_every_table_sums_to_the_total_and_gives_every_symbol_a_chance() -> None:
    tables = gaussian_tables()
    assert len(tables) == SCALE_LEVELS
    for radius, frequencies in tables:
        assert len(frequencies) == 2 * radius + 2
        assert frequencies.sum() == 2**FREQUENCY_BITS
        assert frequencies.min() >= 1


def test_room_for_outliers_costs_little_where_there_are_none() -> None:
    for level, (radius, frequencies) in enumerate(gaussian_tables()):
        scale = SCALE_MIN * math.exp(level * LOG_SCALE_STEP)
        edges = (np.arange(-radius, radius + 2) - 0.5) / scale
        exact = np.diff([0.5 * math.erfc(-e / math.sqrt(2)) for e in edges])
        coded = frequencies[:-1] / 2.0**FREQUENCY_BITS
        keep = exact > 0
        divergence = np.sum(exact[keep] * np.log2(exact[keep] / coded[keep]))
        assert divergence < 0.015, (level, divergence)


def test_outliers_are_cheaper_than_under_the_gaussian() -> None:
    for level, (radius, frequencies) in enumerate(gaussian_tables()):
        scale = SCALE_MIN * math.exp(level * LOG_SCALE_STEP)
        if scale < 1:  # hardly a symbol beside 0
            continue
        far = math.ceil(5 * scale)
        gaussian = math.erfc((far - 0.5) / scale / math.sqrt(2)) / 2
        assert frequencies[radius + far :].sum() / 2.0**FREQUENCY_BITS > 10 * gaussian


def test_what_probabilities_lack_to_one_goes_to_the_escape() -> None:
    (_, frequencies), *_ = FrequencyTables.from_probabilities([np.array([0.25, 0.25, 0.25])])
    assert frequencies[-1] == 2**FREQUENCY_BITS // 4


def test_trimming_keeps_all_but_the_tail() -> None:
    probabilities = np.array([1e-9, 1e-8, 0.1, 0.8, 0.1, 1e-8, 1e-9])
    assert trim(probabilities).tolist() == [0.1, 0.8, 0.1]
