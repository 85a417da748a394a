"""`clc pipeline`: what the `clc` command gains when this package is installed beside it."""

from typing import Annotated

import typer

from clc.commands.options import DaskAddressOption, StoreOption, WorkersOption

app = typer.Typer(help="Run the Prefect flows.", no_args_is_help=True)

ProfileOption = Annotated[str, typer.Option(help="Name of a profile, or path of a TOML file.")]


@app.callback()
def group() -> None:
    """Run the Prefect flows."""


@app.command("run")
def run_flow(
    profile: ProfileOption,
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    store: StoreOption = None,
) -> None:
    """Photos → dictionary → codec → measured report → production. Finished stages are skipped."""
    from pipelines.runtime.server import start_server

    start_server()  # first: a private one gets ready during the imports
    from pipelines.rebuild import run

    run(profile, store, workers, dask_address)


@app.command("serve")
def serve_flows(
    profile: ProfileOption,
    cron: Annotated[str, typer.Option(help="When to rebuild.")] = "0 3 * * *",
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    store: StoreOption = None,
) -> None:
    """Rebuild on a schedule, and train, evaluate and promote on events, until stopped. Needs a Prefect server."""
    from pipelines.deployments import serve

    serve(profile, store, cron, workers, dask_address)


@app.command("rollback")
def roll_back(store: StoreOption = None) -> None:
    """Put the model and dictionary before the current ones back into production."""
    from clc.production.promotion import rollback
    from clc.store import Store

    model, dictionary = rollback(Store(store))
    typer.echo(f"in production: {model} with {dictionary or 'no dictionary'}")
