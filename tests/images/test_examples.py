"""The examples in the docstrings run."""

import doctest
import importlib

import pytest

from clc.images.datasets import manifests
from clc.images.sources import specification

ENCODE = importlib.import_module("clc.images.encode")  # the package has a function of that name


@pytest.mark.parametrize("module", [manifests, specification, ENCODE], ids=lambda module: module.__name__)
def test_examples_give_what_they_say(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
