"""`clc pipeline`: what the `clc` command gains when this package is installed beside it."""

import logging
from typing import Annotated

import typer

from clc.commands.options import StoreOption

app = typer.Typer(help="Run the Prefect flows.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Run the Prefect flows."""


@app.command("run")
def run_flow(
    profile: Annotated[str, typer.Option(help="Name of a profile, or path of a TOML file.")],
    store: StoreOption = None,
) -> None:
    """Photos → dictionary → codec → measured report. Finished stages are skipped."""
    logging.getLogger("clc").setLevel(logging.INFO)
    from pipelines.rebuild import run

    run(profile, store)
