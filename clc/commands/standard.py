"""`-`: standard input where a command reads a file, standard output where it writes one."""

import os
import sys
from pathlib import Path

import typer

from clc.errors import OutputError, SourceError
from clc.runtime.files import FileKey, file_key, write_atomically

STANDARD = "-"
_INPUT, _OUTPUT = 0, 1  # their descriptors


def read_standard_input() -> bytes:
    """All of standard input. Raises SourceError if it cannot be read."""
    if sys.stdin is None:
        raise SourceError("standard input is closed; name a file")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise SourceError(f"standard input cannot be read: {error.strerror or error}; name a file") from error


def write_output(name: str, data: bytes, *, overwrite: bool) -> None:
    """Write standard output or a file, the latter as `write_atomically` does. Raises OutputError if that fails."""
    if name != STANDARD:
        return write_atomically(Path(name), data, overwrite=overwrite)
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        raise OutputError("standard output is closed; name a file")
    try:
        binary.write(data)
        binary.flush()
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror or error}; name a file") from error


def announce(name: str, message: str) -> None:
    """Say what an output is: on stdout, or on stderr where stdout is the output, also as /dev/stdout."""
    typer.echo(f"{name}: {message}", err=name == STANDARD or _is_standard_output(name))


def source_key(name: str) -> FileKey | None:
    """`file_key` of an input."""
    return file_key(_INPUT if name == STANDARD else Path(name))


def output_key(name: str) -> FileKey | None:
    """`file_key` of an output."""
    return file_key(_OUTPUT if name == STANDARD else Path(name))


def _is_standard_output(name: str) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(_OUTPUT))
    except OSError:
        return False
