"""Warnings of libraries that tell nothing: what they are about is checked, or is an error anyway."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from clc.runtime.process_setting import ProcessSetting

_MODULES = (
    r"PIL\.",  # of damaged metadata and large sizes
    r"skimage\.measure\.fit",  # of samples that determine nothing, by RANSAC
)


@contextmanager
def _ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        for module in _MODULES:
            warnings.filterwarnings("ignore", module=module)
        yield


# One for all libraries: the filters are one setting, and two that change it would bring back each other's.
without_library_warnings = ProcessSetting(_ignored)
"""Inside, they are not shown."""
