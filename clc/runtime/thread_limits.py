"""Import before PyTorch: sets thread and GC limits.

- PyTorch's threads (OpenMP) spin for milliseconds before they sleep. Two processes on the same cores then take twice as
  long, since one spins on the core that the other needs. A few microseconds bridge the gaps between operations, which
  sleeping at once does not.
  PyTorch that is imported already has read its settings; a team of threads that sleeps makes it spin as little.
- Imports make some hundred thousand objects, and none of them is garbage. Python looks for some all the while, which
  takes a third of a second.

What the environment or the program has set already is left alone.
"""

import gc
import os
import sys

from clc.runtime.sleeping_team import keep_a_team_asleep

_SPINS = 5000
_NEW_OBJECTS = 50_000  # new objects before Python looks for garbage

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys() and "torch" in sys.modules:
    keep_a_team_asleep()
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
if 0 < gc.get_threshold()[0] < _NEW_OBJECTS:
    gc.set_threshold(_NEW_OBJECTS, 20, 20)
