"""`clc experiment`: what the `clc` command gains when this package is installed beside it."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.errors import ProfileError


def run_experiment(
    name: Annotated[str, typer.Argument(help="table1 to table3, figure2c, 4, 5, conditioning, dkic or drift.")],
    budget: Annotated[
        str, typer.Option(help="smoke (minutes), short or small (hours on a CPU) or paper (a GPU).")
    ] = "smoke",
    anchor: Annotated[
        str | None,
        typer.Option(
            help="For figure2c and drift: compare with this model, such as one trained without references.",
            metavar="MODEL",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="For the others: a model trained without conditioning, which all variants start from. "
            "Default: from nothing.",
            metavar="MODEL",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints of interrupted runs.")] = Path("runs"),
    device: Annotated[str, typer.Option(help="What training runs on: cpu, cuda or cuda:N.")] = "cpu",
    store: StoreOption = None,
) -> None:
    """Train and measure the variants of an experiment under one budget; print the table. Run again to go on.

    With CLC_DATA, a folder of Parquet photo packs, it runs on Kodak and on collections; without, on bundled photos.
    """
    from clc.api import DEFAULT, find_model
    from clc.codec.artifacts import read_config
    from clc.experiments.budgets import find_budget
    from clc.experiments.catalogue import On, find_experiment
    from clc.experiments.data_sets import DATA, collections
    from clc.model.config import Conditioning
    from clc.store import Store
    from clc.store.shipped import LayeredStore
    from pipelines.runtime.server import require_server, server_needed, start_server

    logging.getLogger("clc").setLevel(logging.INFO)
    chosen, spent = find_experiment(name), find_budget(budget)
    if anchor is not None and chosen.trained:
        raise ProfileError(f"experiment {name} trains its own anchor; --anchor is for figure2c and drift")
    if start is not None:
        if not chosen.trained:
            raise ProfileError(f"experiment {name} trains nothing; --from is for those that do")
        begun = find_model(LayeredStore(store), start)
        if read_config(begun).conditioning is not Conditioning.NONE:
            raise ProfileError(
                f"--from {start}: what it knows of references would favour some variants; name a model that was "
                "trained with --conditioning none"
            )
        start = begun.id
    related = [] if chosen.on is On.GENERAL else collections()
    if chosen.on is On.BOTH and not related:
        typer.echo(f"{DATA} is not set: there is no collection of related photos to run on, bundled photos only")
    if spent.collections is not None and len(related) > spent.collections:
        typer.echo(f"budget {budget}: the first {spent.collections} of {len(related)} collections")
    start_server()  # a private one gets ready during the import
    from pipelines.experiment import experiment

    require_server()
    with server_needed():
        experiment(name, spent, Store(store).url, runs, anchor or DEFAULT, start, device)
