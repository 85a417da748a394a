"""The examples in the docstrings run."""

import doctest

import pytest

from clc.images import dataset, source


@pytest.mark.parametrize("module", [dataset, source], ids=lambda module: module.__name__)
def test_examples_give_what_they_say(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
