import numpy as np
import pytest

from clc.evaluation.compare.rate_difference import rate_difference
from clc.evaluation.compare.rate_differences import mean_rate_differences


def curves(seed: int, points: int, pairs: int = 50, start: float = 25.0):
    generator = np.random.default_rng(seed)
    rates = 0.05 * np.cumprod(generator.uniform(1.1, 3.0, (pairs, points)), axis=1)
    return rates, start + np.cumsum(generator.uniform(0.2, 4.0, (pairs, points)), axis=1)


@pytest.mark.parametrize("points", [(7, 5), (3, 3), (2, 6), (2, 2)])
def test_every_pair_differs_as_it_does_alone(points):
    anchor, test = curves(0, points[0]), curves(1, points[1])
    alone = [
        rate_difference(*(list(zip(rates[pair], qualities[pair], strict=True)) for rates, qualities in (anchor, test)))
        for pair in range(50)
    ]
    comparable = [pair for pair, difference in enumerate(alone) if difference is not None]
    assert len(comparable) > 10

    together = mean_rate_differences(*((rates[comparable], dbs[comparable]) for rates, dbs in (anchor, test)))

    assert together == pytest.approx([alone[pair].mean for pair in comparable], rel=1e-9)


def test_the_order_of_points_does_not_matter():
    anchor, test = curves(0, 6), curves(1, 6)
    shuffled = tuple(each[:, [3, 0, 5, 1, 4, 2]] for each in test)

    expected = mean_rate_differences(*(tuple(each[:1] for each in pair) for pair in (anchor, test)))
    assert mean_rate_differences(tuple(each[:1] for each in anchor), tuple(each[:1] for each in shuffled)) == expected


def test_one_pair_without_an_answer_leaves_none():
    anchor = curves(0, 6)
    above, falling, single = curves(1, 6, start=90.0), curves(1, 6), curves(1, 1)
    falling[1][7, 3] = falling[1][7, 5]

    for test in (above, falling, single):
        assert mean_rate_differences(anchor, test) is None
