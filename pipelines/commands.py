"""`clc pipeline`: what the `clc` command gains when this package is installed beside it."""

from typing import Annotated

import typer

from clc.commands.options import DaskAddressOption, StoreOption, WorkersOption

app = typer.Typer(help="Run the Prefect flows.", no_args_is_help=True)

ProfileOption = Annotated[str, typer.Option(help="Name of a profile, or path of a TOML file.")]

CronOption = Annotated[str, typer.Option(help="When to rebuild.")]
TimezoneOption = Annotated[
    str | None, typer.Option(help="Time zone of --cron, as Europe/Berlin. Default: this machine's.")
]

StartOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Model that training starts from: production (random weights where there is none of this network), none, "
        "or any other.",
    ),
]


@app.callback()
def group() -> None:
    """Run the Prefect flows."""


@app.command("run")
def run_flow(
    profile: ProfileOption,
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    start: StartOption = "production",
    store: StoreOption = None,
) -> None:
    """Photos → dictionary → codec → measured report → production. Finished stages are skipped."""
    from pipelines.runtime.server import start_server

    start_server()  # first: a private one gets ready during the imports
    from pipelines.rebuild import run

    run(profile, store, workers, dask_address, start)


@app.command("pack")
def pack_source(profile: ProfileOption, store: StoreOption = None) -> None:
    """New photos of the profile's source → the archive of the dictionary in use, in any fsspec store."""
    from pipelines.runtime.server import start_server

    start_server()
    from pipelines.pack import run

    run(profile, store)


@app.command("serve")
def serve_flows(
    profile: ProfileOption,
    cron: CronOption = "0 3 * * *",
    timezone: TimezoneOption = None,
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    start: StartOption = "production",
    store: StoreOption = None,
) -> None:
    """Rebuild on a schedule, and train, evaluate and promote on events, until stopped. Needs a Prefect server."""
    from pipelines.deployments import serve

    serve(profile, store, cron, workers, dask_address, timezone=timezone, start=start)


@app.command("deploy")
def deploy_flows(
    profile: ProfileOption,
    pool: Annotated[str, typer.Option(help="Work pool of type process, whose workers run the flows.")],
    cron: CronOption = "0 3 * * *",
    timezone: TimezoneOption = None,
    only: Annotated[str | None, typer.Option(metavar="FLOW", help="Only this flow, as `train`.")] = None,
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    start: StartOption = "production",
    store: StoreOption = None,
) -> None:
    """Leave what `serve` does to the workers of a work pool, in the folder of this name. Needs a Prefect server."""
    from pipelines.deployments import deploy

    for line in deploy(
        profile,
        store,
        cron,
        pool,
        only=only,
        workers=workers,
        dask_address=dask_address,
        timezone=timezone,
        start=start,
    ):
        typer.echo(line)


@app.command("rollback")
def roll_back(store: StoreOption = None) -> None:
    """Put the model and dictionary before the current ones back into production."""
    from clc.production.promotion import rollback
    from clc.store import Store

    model, dictionary = rollback(Store(store))
    typer.echo(f"in production: {model} with {dictionary or 'no dictionary'}")


@app.command("status")
def show_status(
    profile: Annotated[str | None, typer.Option(help="Only the runs of this profile. Default: all.")] = None,
    store: StoreOption = None,
) -> None:
    """What is in production since when and why, the last refusal, the next runs."""
    from pipelines.status import lines

    for title, text in lines(profile, store):
        typer.echo(f"{title:<13}  {text}")
