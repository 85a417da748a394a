"""How threads of a PyTorch that is imported already are kept from spinning while they wait.

GNU's OpenMP reads how long to spin when it is loaded, and has no call to change it. But threads spin a hundred times
less while the process has more of them than there are processors (GOMP_SPINCOUNT in its manual). So a second team of
threads is made, and sleeps for ever.
"""

import threading

_NAME = "clc-sleeping-team"


def keep_a_team_asleep() -> None:
    """Make the team, once in a process; it is of one thread where PyTorch computes on one."""
    if any(thread.name == _NAME for thread in threading.enumerate()):
        return
    made = threading.Event()
    thread = threading.Thread(target=_sleep, args=(made,), name=_NAME, daemon=True)
    thread.start()
    made.wait()  # a process that ends while a thread computes is aborted


def _sleep(made: threading.Event) -> None:
    import torch

    try:
        # More than one thread's share of work. The team lives as long as this thread, whose it is.
        torch.zeros(2**20).add_(1.0)
    finally:
        made.set()
    threading.Event().wait()
