"""A library that is not installed is one line that says what to install; any other missing module is a bug."""

import doctest

import pytest

from clc.runtime import extras
from clc.runtime.exit import one_line_errors


def test_a_library_of_an_extra_is_named_with_its_extra(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit, one_line_errors("clc report"):
        raise ModuleNotFoundError("No module named 'scipy.interpolate'", name="scipy.interpolate")
    assert exit.value.code == 2
    assert capsys.readouterr().err == "clc: clc report needs scipy: pip install 'clc[build]'\n"


def test_any_other_missing_module_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError), one_line_errors():
        raise ModuleNotFoundError("No module named 'clc.images.gone'", name="clc.images.gone")


def test_the_example_runs_as_written() -> None:
    assert doctest.testmod(extras).failed == 0
