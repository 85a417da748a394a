"""Which output each input of a command goes to, checked as a whole before anything is written.

One rule above all: nothing that the user has is lost, unless `--force` says so, and no input ever is.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from clc.commands.standard import STANDARD, output_key, source_key
from clc.errors import ClcError, OutputError
from clc.runtime.exit import print_error
from clc.runtime.files import FileKey, check_output, is_special, make_folder


@dataclass(frozen=True)
class Task:
    """An input and the output that it goes to, each a file or `-`. Text, not paths: `./-` is a file."""

    source: str
    output: str


def plan(
    arguments: Sequence[str], *, folder: Path | None, suffix: str, names_output: Callable[[str], bool]
) -> list[Task]:
    """Tasks from what was typed: `INPUT OUTPUT`, or inputs alone, whose outputs lie beside them or in a folder.

    suffix: what the names of outputs end in that are not given.
    names_output: whether the second of two arguments is the output, by its name; not asked where that is plain.
    Raises OutputError if there is no name for an output.
    """
    if folder is None and len(arguments) == 2 and _is_output(arguments[1], names_output):
        return [Task(arguments[0], arguments[1])]
    if folder is None and list(arguments) == [STANDARD]:
        return [Task(STANDARD, STANDARD)]
    if STANDARD in arguments:
        raise OutputError("standard input has no name to make an output's from; give it alone, or with its output")
    return [Task(source, str(_derived(Path(source), folder, suffix))) for source in arguments]


def check(tasks: Sequence[Task], *, folder: Path | None, overwrite: bool) -> None:
    """Refuse all tasks if one output must not be written; make the folder for them if none is refused by its name.

    Raises OutputError if an output is also an input, or that of two inputs, and for what `check_output` refuses.
    """
    sources = {source_key(task.source): task.source for task in tasks}
    outputs: dict[FileKey, Task] = {}
    for task in tasks:
        key = output_key(task.output)
        if key is None:
            continue
        if key in sources:
            raise OutputError(f"{task.output} is also the input {sources[key]}, which would be lost; name another file")
        first = outputs.setdefault(key, task)
        if first is not task:
            raise OutputError(
                f"{first.source} and {task.source} would both go to {task.output}; take one after the other, to "
                "outputs that you name"
            )
    if folder is not None:
        make_folder(folder)
    for task in tasks:
        if task.output != STANDARD:
            check_output(Path(task.output), overwrite=overwrite)


def carry_out(tasks: Sequence[Task], work: Callable[[Task], None], *, spared: tuple[type[ClcError], ...]) -> None:
    """Do all tasks. Of several, one that fails with a `spared` error is named on stderr, and the others are done.

    Raises the error of a single task, and what is not spared; leaves with exit code 2 if one of several failed.
    """
    if len(tasks) == 1:
        return work(tasks[0])
    failed = False
    for task in tasks:
        try:
            work(task)
        except spared as error:
            failed = True
            print_error(_naming(task.source, str(error)))
    if failed:
        raise typer.Exit(2)


def _naming(source: str, message: str) -> str:
    return message if message.startswith((f"{Path(source)}:", f"{Path(source)} ")) else f"{source}: {message}"


def _is_output(name: str, names_output: Callable[[str], bool]) -> bool:
    if os.path.isdir(name):
        raise OutputError(f"{name}: cannot be written: it is a folder; to write into it, use -O {name}")
    return name == STANDARD or is_special(Path(name)) or names_output(name)


def _derived(source: Path, folder: Path | None, suffix: str) -> Path:
    return (source.parent if folder is None else folder) / f"{source.stem}{suffix}"
