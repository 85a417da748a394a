"""The examples in the docstrings run."""

import doctest
import importlib

import pytest

from clc.images import dataset, source

ENCODE = importlib.import_module("clc.images.encode")  # the package has a function of that name


@pytest.mark.parametrize("module", [dataset, source, ENCODE], ids=lambda module: module.__name__)
def test_examples_give_what_they_say(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
