"""What every benchmark prints: the machine it ran on, and its figures as a Markdown table."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from clc.runtime.cores import available_cores

_LIBRARIES = ("torch", "numpy", "scikit-learn", "faiss-cpu", "pyarrow", "compressai", "constriction")


def print_machine() -> None:
    """One line: processor, cores this process may use, memory, Python and libraries."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    cores = available_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{_processor()}, {cores} cores, {memory:.0f} GiB; Python {platform.python_version()}, {libraries}\n")


def print_table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows of the heading's length; floats with three significant digits."""
    cells = [list(heading), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)
    print()


def peak_memory() -> int:
    """Bytes that this process has had in memory at most, so far.

    `getrusage` would do, but a new process inherits in it what its parent's memory once was.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
