"""Output files that are whole or not there."""

import os
import tempfile
from pathlib import Path

from clc.errors import OutputError


def write_atomically(path: Path, data: bytes) -> None:
    """Make `path` hold `data`; if that fails, it holds what it held before, and nothing is left beside it.

    Raises OutputError if the file cannot be written.
    """
    try:
        # A temporary folder, not a temporary file, so that the result gets the user's ordinary permissions.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".clc-") as folder:
            unfinished = Path(folder) / "unfinished"
            unfinished.write_bytes(data)
            os.replace(unfinished, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; name another file") from error


def write_page(path: Path, page: str) -> None:
    """Write an HTML page atomically, with the folder that it is in. Raises OutputError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made: {error.strerror or error}; name another file") from error
    write_atomically(path, page.encode())
