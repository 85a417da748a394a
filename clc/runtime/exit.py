"""How a program ends: what the exit codes mean is in the docstring of `clc.cli`."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from clc.errors import ClcError, TrainingStoppedError
from clc.runtime.extras import what_to_install


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
    try:
        main()
    except SystemExit as ending:
        code = ending.code or 0
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # these two, in this order, are what Python begins its end with
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it was closed when the program started
        with suppress(OSError):  # whoever read it may be gone
            stream.flush()
    os._exit(code)
