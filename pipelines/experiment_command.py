"""`clc experiment`: what the `clc` command gains when this package is installed beside it."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import StoreOption


def run_experiment(
    name: Annotated[str, typer.Argument(help="table1 to table3, figure2c, figure4, figure5, conditioning or drift.")],
    budget: Annotated[str, typer.Option(help="smoke (minutes), small (hours on a CPU) or paper (GPUs).")] = "smoke",
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints of interrupted runs.")] = Path("runs"),
    store: StoreOption = None,
) -> None:
    """Train and measure the variants of an experiment under one budget; print the table. Run again to go on.

    With CLC_DATA, a folder of Parquet photo packs, it runs on Kodak and on collections; without, on bundled photos.
    """
    from clc.experiments.budget import find_budget
    from clc.experiments.catalogue import On, find_experiment
    from clc.experiments.photos import DATA, collections
    from clc.store import Store
    from pipelines.experiment import experiment

    logging.getLogger("clc").setLevel(logging.INFO)
    chosen, spent = find_experiment(name), find_budget(budget)
    if chosen.on is On.BOTH and not collections():
        typer.echo(f"{DATA} is not set: there is no collection of related photos to run on, bundled photos only")
    experiment(name, spent, Store(store).url, runs)
