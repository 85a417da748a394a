"""The `clc` command.

Exit codes: 0 success; 1 something checked is not as it should be (`verify`), or a bug, with a traceback; 2 a mistake in
the call or in what it was given, with one line that says what to do (after the usage, if the call is malformed);
128 + n training stopped by signal n, after it wrote a checkpoint.
"""

import logging
from importlib.metadata import entry_points
from typing import NoReturn

import typer

import clc.commands.data
import clc.commands.dictionary
import clc.commands.model
from clc.commands.artifacts import artifact_app
from clc.commands.codec import compress, decompress, info
from clc.commands.gc import gc
from clc.commands.report import report
from clc.commands.train import train
from clc.runtime.exit import one_line_errors, run_program
from clc.store import Kind

app = typer.Typer(
    help="Compress photo collections with a learned codec and a versioned dictionary of reference patches.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(compress)
app.command()(decompress)
app.command()(info)
app.command()(train)
app.command()(report)
app.command()(gc)
app.add_typer(clc.commands.dictionary.app, name="dictionary")
app.add_typer(clc.commands.model.app, name="model")
app.add_typer(clc.commands.data.app, name="data")
for _kind in Kind:
    if _kind not in (Kind.DICTIONARY, Kind.MODEL):
        app.add_typer(artifact_app(_kind), name=_kind.value, hidden=_kind is not Kind.RESULTS)
for _command in entry_points(group="clc.commands"):
    _loaded = _command.load()
    if isinstance(_loaded, typer.Typer):
        app.add_typer(_loaded, name=_command.name)
    else:
        app.command(_command.name)(_loaded)


@app.callback()
def configure(verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what happens.")) -> None:
    """Set up logging before any command."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("clc").setLevel(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line; what the exit codes mean is in the module's docstring."""
    with one_line_errors():
        app()


def program() -> NoReturn:
    """Entry point of the command."""
    run_program(main)
