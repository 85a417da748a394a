import numpy as np
import pytest

from clc.evaluation.memory import with_peak_memory


def held(megabytes: int) -> int:
    return len(np.ones(megabytes * 2**20, dtype=np.uint8))


@pytest.mark.parametrize("megabytes", [64, 192])
def test_memory_that_was_held_and_freed_again_counts(megabytes):
    held(256)  # an earlier peak must not

    size, peak = with_peak_memory(lambda: held(megabytes))

    assert size == megabytes * 2**20
    if peak is None:
        pytest.skip("this system does not tell a process its peak memory")
    assert peak == pytest.approx(size, rel=0.1)
