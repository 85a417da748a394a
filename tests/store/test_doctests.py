"""The examples in the docstrings of `clc.store` run as written."""

import doctest
import importlib
import pkgutil

import pytest

import clc.store

MODULES = [f"clc.store.{module.name}" for module in pkgutil.iter_modules(clc.store.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_as_written(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
