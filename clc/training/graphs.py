"""A step as a CUDA graph: the GPU launches its kernels itself, instead of waiting for Python to launch each."""

import logging
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger(__name__)

_WARM_UP = 3  # runs before, in which libraries choose their kernels

Run = Callable[[], None]


def captured(run: Run, name: str, pool: Any = None) -> tuple[Run, Any]:
    """What does the same as `run` from one graph, and the memory pool of it; `run` itself where it cannot be captured,
    which is said in one line of the log.

    run: waits for nothing and always uses the same memory. It is run some times here, so its caller restores what it
    changes.
    pool: of another graph that is never replayed at the same time, to share its memory.
    """
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            run()
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        reason = str(error).strip().partition("\n")[0]
        logger.warning(
            "stage=train graph=none step=%s: launched kernel by kernel, which takes longer (%s)", name, reason
        )
        return run, pool
    return graph.replay, graph.pool()
