"""Prefect flows over the stages of `clc`: thin, every task calls one function of the library."""

import clc.process  # noqa: F401  (PyTorch reads it when it is first imported)
import pipelines.embedded  # noqa: F401  (Prefect reads its settings when it is first imported)
