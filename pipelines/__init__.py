"""Prefect flows over the stages of `clc`: thin, every task calls one function of the library."""

import clc.runtime.thread_limits  # noqa: F401  (PyTorch reads it when it is first imported)
import pipelines.runtime.embedded  # noqa: F401  (Prefect reads its settings when it is first imported)
