"""How a program ends: what the exit codes mean is in the docstring of `clc.cli`."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from clc.errors import ClcError, TrainingStoppedError
from clc.runtime.extras import what_to_install
from clc.runtime.output_stream import LastingStream


@contextmanager
def one_line_errors(what: str = "this") -> Iterator[None]:
    """Turn the errors of our hierarchy into one line on stderr and an exit code; bugs keep their traceback.

    So does a library that an extra of the package brings and that is not installed. what: what was asked for.
    """
    try:
        yield
    except TrainingStoppedError as stopped:
        print(f"clc: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except ClcError as error:
        print_error(str(error))
        sys.exit(2)
    except ModuleNotFoundError as error:
        advice = what_to_install(error, what)
        if advice is None:
            raise
        print_error(advice)
        sys.exit(2)


def print_error(message: str) -> None:
    """Print it as one line on stderr."""
    print(f"clc: {' '.join(message.split())}", file=sys.stderr)


def run_program(main: Callable[[], None]) -> NoReturn:
    """Run a program and leave with its exit code; a bug ends it as always, with its traceback.

    Threads are joined, what `atexit` was given is called and output is flushed, as always. What is left out is what
    comes then: Python would free all objects one by one, a second for those of PyTorch, which the system does at once.
    """
    code: object = 0
    output = LastingStream(sys.stdout)
    sys.stdout, sys.stderr = output, LastingStream(sys.stderr)  # type: ignore[assignment]
    try:
        main()
    except SystemExit as ending:
        code = ending.code or 0
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # these two, in this order, are what Python begins its end with
    atexit._run_exitfuncs()
    output.flush()
    if output.failure is not None:
        print_error(f"standard output cannot be written: {_reason(output.failure)}; what went to files is whole")
        code = code or 2
    sys.stderr.flush()
    os._exit(code)


def check_working_directory() -> None:
    """End the program, with one line, if the working directory was deleted: much takes a directory for granted."""
    try:
        os.getcwd()
    except OSError:
        print_error("the working directory is not there any more; change to another one")
        sys.exit(2)


def _reason(failure: Exception) -> str:
    return getattr(failure, "strerror", None) or str(failure)
