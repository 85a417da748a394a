"""Running `clc` in the process of the tests."""

import sys

import pytest

from clc.cli import main


class Call:
    """Runs `clc ARGUMENTS` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["clc", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = self._capsys.readouterr()
        return int(exit.value.code or 0), out, err


@pytest.fixture
def clc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call(capsys, monkeypatch)


def assert_refused(result: tuple[int, str, str], *wanted: str) -> None:
    code, _, err = result
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    assert all(text in err for text in wanted), err
