"""How a program ends: what the exit codes mean is in the docstring of `clc.cli`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from clc.errors import ClcError, TrainingStoppedError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the errors of our hierarchy into one line on stderr and an exit code; bugs keep their traceback."""
    try:
        yield
    except TrainingStoppedError as stopped:
        print(f"clc: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except ClcError as error:
        print(f"clc: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
