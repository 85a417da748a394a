"""Importing this makes a process of ours start and wait well; to be imported before PyTorch is.

- PyTorch's threads (OpenMP) spin when they wait, for milliseconds before they sleep, and two processes of two threads
  on the same two cores take twice as long and more, since one spins on the core that the other needs. A few
  microseconds of it bridge the gaps between operations, which sleeping at once does not. What the environment says
  already is left alone.
- Imports make some hundred thousand objects, none of them garbage. Looking for it among them all the while takes Python
  a third of a second.
"""

import gc
import os

_SPINS = 5000

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
gc.set_threshold(50_000, 20, 20)
