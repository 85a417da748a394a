"""Prefect flows over the stages of `clc`: thin, every task calls one function of the library."""

import pipelines.embedded  # noqa: F401  (Prefect reads its settings when it is first imported)
