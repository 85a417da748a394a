import subprocess
import sys

import pytest

# In a process of its own: memory that other tests left behind may be freed at any moment, and would be missed.
_MEASURE = """
import numpy as np
from clc.evaluation.measure.memory import with_peak_memory

def held(megabytes):
    return len(np.ones(megabytes * 2**20, dtype=np.uint8))

held(256)  # an earlier peak must not count
print(*with_peak_memory(lambda: held({megabytes})))
"""


@pytest.mark.medium
@pytest.mark.parametrize("megabytes", [64, 192])
def test_memory_that_was_held_and_freed_again_counts(megabytes):
    command = [sys.executable, "-c", _MEASURE.format(megabytes=megabytes)]

    size, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert int(size) == megabytes * 2**20
    if peak == "None":
        pytest.skip("this system does not tell a process its peak memory")
    assert int(peak) == pytest.approx(int(size), rel=0.1)
