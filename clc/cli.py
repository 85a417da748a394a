"""The `clc` command.

Exit codes: 0 success; 1 something checked is not as it should be (`verify`), or some of several photos failed, each
named, or a bug, with a traceback; 2 a mistake in the call or in what it was given, with one line that says what to do
(after the usage, if the call is malformed);
2 as well, with one line, if standard output cannot be written, once all else is done, or without a working directory;
128 + n training stopped by signal n, after it wrote a checkpoint, or an archive's packing was interrupted.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Annotated, Any, NoReturn

import typer

import clc.commands.data
import clc.commands.dictionary
import clc.commands.model
from clc import __version__
from clc.commands.archive import list_photos, unpack, verify
from clc.commands.artifacts import artifact_app
from clc.commands.codec import compress, decompress, info
from clc.commands.evaluate import evaluate
from clc.commands.gc import gc
from clc.commands.pack import add, pack
from clc.commands.report import report
from clc.commands.train import train
from clc.runtime.exit import check_working_directory, one_line_errors, print_error, run_program
from clc.runtime.remarks import Summary
from clc.store import Kind

check_working_directory()  # before what it is taken for granted by is imported

_PHOTOS, _ARCHIVES, _MODELS, _MEASURING = "Photos", "Archives of photos", "Dictionaries and models", "Measuring"
_STORE, _FLOWS = "Artifacts and data", "Flows"

app = typer.Typer(
    help="Compress photo collections with a learned codec and a versioned dictionary of reference patches.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(rich_help_panel=_PHOTOS)(compress)
app.command(rich_help_panel=_PHOTOS)(decompress)
app.command(rich_help_panel=_PHOTOS)(info)
app.command(rich_help_panel=_ARCHIVES)(pack)
app.command(rich_help_panel=_ARCHIVES)(add)
app.command("list", rich_help_panel=_ARCHIVES)(list_photos)
app.command(rich_help_panel=_ARCHIVES)(unpack)
app.command(rich_help_panel=_ARCHIVES)(verify)
app.add_typer(clc.commands.dictionary.app, name="dictionary", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MODELS)(train)
app.add_typer(clc.commands.model.app, name="model", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MEASURING)(evaluate)
app.command(rich_help_panel=_MEASURING)(report)
app.command(rich_help_panel=_STORE)(gc)
app.add_typer(clc.commands.data.app, name="data", rich_help_panel=_STORE)
for _kind in Kind:
    if _kind not in (Kind.DICTIONARY, Kind.MODEL):
        _panel, _hidden = (_MEASURING, False) if _kind is Kind.RESULTS else (_STORE, True)
        app.add_typer(artifact_app(_kind), name=_kind.value, hidden=_hidden, rich_help_panel=_panel)
for _command in entry_points(group="clc.commands"):
    _loaded = _command.load()
    if isinstance(_loaded, typer.Typer):
        app.add_typer(_loaded, name=_command.name, rich_help_panel=_FLOWS)
    else:
        app.command(_command.name, rich_help_panel=_FLOWS)(_loaded)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"clc {__version__}")
        raise typer.Exit


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up logging before any command."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("clc").setLevel(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line; what the exit codes mean is in the module's docstring."""
    command = typer.main.get_command(app)
    with one_line_errors(_asked_for(command, sys.argv[1:])), remarks_at_the_end():
        command()


def _asked_for(command: Any, arguments: Sequence[str]) -> str:
    """The command that arguments name, as `clc dictionary build`."""
    path = ["clc"]
    for argument in arguments:
        members = getattr(command, "commands", {})  # of a group; its type is typer's own affair
        if argument in members:
            command = members[argument]
            path.append(argument)
        elif not argument.startswith("-"):
            break
    return " ".join(path)


@contextmanager
def remarks_at_the_end() -> Iterator[None]:
    """Print what happened to photos when all else is said, added up, on stderr."""
    with Summary() as summary:
        try:
            yield
        finally:
            for line in summary.lines():
                print_error(line)


def program() -> NoReturn:
    """Entry point of the command."""
    run_program(main)
