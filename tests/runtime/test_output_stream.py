"""How a program ends whose output cannot be written as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINTS = "from clc.runtime.exit import run_program; run_program(lambda: print({text!r}))"


def run(code: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as a process of its own, with a shell's redirections."""
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed"), ("| true", "Broken pipe")],
)
def test_output_that_cannot_be_written_is_one_line_and_exit_code_2(redirection: str, reason: str) -> None:
    ended = run(PRINTS.replace("{text!r}", "50_000 * 'line'"), redirection)  # more than a pipe holds
    assert ended.stderr == f"clc: standard output cannot be written: {reason}; what went to files is whole\n"
    if redirection != "| true":  # there, the exit code is that of `true`
        assert ended.returncode == 2


def test_nowhere_to_complain_is_still_exit_code_2() -> None:
    assert run(PRINTS.format(text="x"), ">/dev/full 2>/dev/full").returncode == 2


def test_characters_that_the_output_lacks_become_escapes() -> None:
    ended = run(PRINTS.format(text="caf\u00e9 \u00d7 \u0177"), PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (0, "caf\\xe9 \\xd7 \\u0177\n")


def test_names_that_are_not_utf8_become_escapes() -> None:
    ended = run(PRINTS.format(text=os.fsdecode(b"caf\xe9 ok")), PYTHONIOENCODING="utf-8")
    assert (ended.returncode, ended.stdout) == (0, "caf\\xe9 ok\n")


def test_a_deleted_working_directory_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = (
        f"import os; os.chdir({os.fspath(tmp_path / 'gone')!r}); os.rmdir({os.fspath(tmp_path / 'gone')!r});"
        "from clc.cli import program; program()"
    )
    ended = run(code)
    assert ended.stderr == "clc: the working directory is not there any more; change to another one\n"
    assert ended.returncode == 2
