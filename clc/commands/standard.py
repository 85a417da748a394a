"""`-`: standard input where a command reads a file, standard output where it writes one."""

import os
import stat
import sys
from pathlib import Path

import typer

from clc.errors import OutputError, SourceError
from clc.runtime.files import FileKey, file_key, is_special, write_atomically
from clc.runtime.remarks import printable, remark

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


class StandardInput:
    """Standard input as a file that is read when its turn has come."""

    name = "standard input"

    def read(self) -> bytes:
        """As `read_standard_input`."""
        return read_standard_input()


def write_output(name: str, data: bytes, *, overwrite: bool, like: str | None = None) -> None:
    """Write standard output or a file, the latter as `write_atomically` does. Raises OutputError if that fails.

    like: the input, whose modification time a file gets.
    """
    if name != STANDARD:
        write_atomically(Path(name), data, overwrite=overwrite)
        return None if like in (None, STANDARD) or is_special(Path(name)) else _keep_time(str(like), name)
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
    typer.echo(f"{printable(name)}: {message}", err=name == STANDARD or _is_standard_output(name))


def source_key(name: str) -> FileKey | None:
    """`file_key` of an input."""
    return file_key(_INPUT if name == STANDARD else Path(name))


def output_key(name: str) -> FileKey | None:
    """`file_key` of an output."""
    return file_key(_OUTPUT if name == STANDARD else Path(name))


def _keep_time(source: str, output: str) -> None:
    try:
        there = os.stat(source), os.stat(output)
        if all(stat.S_ISREG(each.st_mode) for each in there):
            os.utime(output, ns=(there[1].st_atime_ns, there[0].st_mtime_ns))
    except OSError as error:
        remark(printable(output), f"the time of its input could not be kept: {error.strerror or error}")


def _is_standard_output(name: str) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(_OUTPUT))
    except OSError:
        return False
