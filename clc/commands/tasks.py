"""Which output each input of a command goes to, checked as a whole before anything is written.

One rule above all: nothing that the user has is lost, unless `--force` says so, and no input ever is.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clc.archive.names import file_names
from clc.commands.standard import STANDARD, output_key, source_key
from clc.errors import OutputError, SourceError
from clc.runtime.files import FileKey, check_output, is_special, make_folder
from clc.runtime.remarks import printable, remark


@dataclass(frozen=True)
class Task:
    """An input and the output that it goes to, each a file or `-`. Text, not paths: `./-` is a file.

    keeps_suffix: whether the output is called by the input's whole name, as another would have the same.
    """

    source: str
    output: str
    keeps_suffix: bool = False


@dataclass(frozen=True)
class _Place:
    """An input, the folder that its output lies in, and its name there, maybe with further folders."""

    source: str
    folder: Path
    name: str


def plan(
    arguments: Sequence[str],
    *,
    folder: Path | None,
    suffix: str,
    names_output: Callable[[str], bool],
    inside: Callable[[Path], Iterable[str]],
) -> list[Task]:
    """Tasks from what was typed: `INPUT OUTPUT`, or inputs alone, whose outputs lie beside them or in a folder.

    An input that is a folder stands for what is in it; in the folder of the outputs, theirs lie in the same folders.
    Outputs are named as the files of an archive are (`file_names`), whatever the order of the inputs.
    suffix: what the names of outputs end in that are not given.
    names_output: whether the second of two arguments is the output, by its name; not asked where that is plain.
    inside: the inputs in a folder, as paths below it.
    Raises OutputError if there is no name for an output, SourceError if there are no inputs.
    """
    if not all(arguments):  # of a shell's variable that is not set; as a path, it would be the current folder
        raise SourceError("a name is empty; name a file or folder, . for the current one")
    if folder is None and len(arguments) == 2 and _is_output(arguments[1], names_output):
        if os.path.isdir(arguments[0]):
            raise OutputError(f"{arguments[0]} is a folder, whose files do not go to one; use -O FOLDER, or `clc pack`")
        return [Task(arguments[0], arguments[1])]
    if folder is None and list(arguments) == [STANDARD]:
        return [Task(STANDARD, STANDARD)]
    if STANDARD in arguments:
        raise OutputError("standard input has no name to make an output's from; give it alone, or with its output")
    places: list[_Place] = []
    empty: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if not path.is_dir():
            places.append(_Place(argument, folder or path.parent, path.name))
            continue
        names = [Path(name) for name in inside(path)]
        if not names:
            empty.append(argument)
        for name in names:
            source = path / name
            places.append(_Place(str(source), folder or source.parent, str(name) if folder else name.name))
    if not places:
        raise SourceError(f"{', '.join(arguments)}: there is nothing in it for this command; name files or folders")
    for argument in empty:
        remark(printable(argument), "there is nothing in it for this command")
    return _named(places, suffix)


def _named(places: Sequence[_Place], suffix: str) -> list[Task]:
    folders = {folder: os.path.realpath(folder) for folder in {place.folder for place in places}}
    names: dict[str, set[str]] = defaultdict(set)  # in each folder, which may have several names itself
    for place in places:
        names[folders[place.folder]].add(place.name)
    chosen = {folder: file_names(sorted(inside), suffix) for folder, inside in names.items()}
    tasks = []
    for place in places:
        output = place.folder / chosen[folders[place.folder]][place.name]
        usual = Path(place.name).stem + suffix
        tasks.append(Task(place.source, str(output), keeps_suffix=output.name != usual))
    return tasks


def check(tasks: Sequence[Task], *, folder: Path | None, overwrite: bool) -> None:
    """Refuse all tasks if one output must not be written; make the folders for them if none is refused by its name.

    Says which outputs have unusual names.
    Raises OutputError if an output is also an input, or that of two inputs, and for what `check_output` refuses.
    """
    sources = {source_key(task.source): task.source for task in tasks}
    outputs: dict[FileKey, Task] = {}
    renamed: dict[tuple[FileKey | None, Path], Task] = {}
    for task in tasks:
        key = output_key(task.output)
        if key is None:
            continue
        if key in sources:
            raise OutputError(f"{task.output} is also the input {sources[key]}, which would be lost; name another file")
        first = outputs.setdefault(key, task)
        if first is not task and source_key(first.source) == source_key(task.source):
            raise OutputError(f"{task.source} is named twice; name it once")
        if first is not task:
            raise OutputError(
                f"{first.source} and {task.source} would both go to {task.output}; take one after the other, to "
                "outputs that you name"
            )
        first = renamed.setdefault((source_key(task.source), Path(task.output).parent), task)
        if first.keeps_suffix and task.keeps_suffix and first is not task:
            raise OutputError(f"{first.source} and {task.source} are one file; name it once")
    if folder is not None:
        for parent in {Path(task.output).parent for task in tasks}:
            make_folder(parent)
    for task in tasks:
        if task.output != STANDARD:
            check_output(Path(task.output), overwrite=overwrite)
    for task in tasks:
        if task.keeps_suffix:
            remark(printable(task.source), "its output keeps its whole name, as another would have the same")


def _is_output(name: str, names_output: Callable[[str], bool]) -> bool:
    if os.path.isdir(name):
        raise OutputError(f"{name}: cannot be written: it is a folder; to write into it, use -O {name}")
    return name == STANDARD or is_special(Path(name)) or names_output(name)
