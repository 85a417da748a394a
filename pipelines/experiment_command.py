"""`clc experiment`: what the `clc` command gains when this package is installed beside it."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.errors import ProfileError


def run_experiment(
    name: Annotated[
        str,
        typer.Argument(help="table1 to table3, figure2c, 4, 5, conditioning, dkic, drift, syntax, theorem1 or video."),
    ],
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
            help="For the others: a model trained without conditioning, which all variants start from; for syntax, "
            "any of preset tiny. Default: from nothing.",
            metavar="MODEL",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints of interrupted runs.")] = Path("runs"),
    device: Annotated[str, typer.Option(help="What training runs on: cpu, cuda or cuda:N.")] = "cpu",
    dictionary: Annotated[
        str | None,
        typer.Option(
            help="For theorem1: the dictionary whose keys are searched. Default: that of the default model.",
            metavar="DICTIONARY",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Train and measure the variants of an experiment under one budget; print the table. Run again to go on.

    With CLC_DATA, a folder of Parquet photo packs, it runs on Kodak and on collections; without, on bundled photos.
    theorem1 trains nothing and needs no photos: it simulates the bound, and says what it does not find.
    """
    from clc.api import DEFAULT, find_model
    from clc.codec.artifacts import read_config
    from clc.experiments.budgets import find_budget
    from clc.experiments.catalogue import On, find_experiment
    from clc.experiments.data_sets import DATA, collections
    from clc.experiments.frames import check_frames
    from clc.model.config import Conditioning
    from clc.store import Store
    from clc.store.shipped import LayeredStore
    from clc.theory.theorem1 import NAME as THEOREM_1
    from pipelines.runtime.server import require_server, server_needed, start_server

    logging.getLogger("clc").setLevel(logging.INFO)
    if name == THEOREM_1:
        if anchor is not None or start is not None or device != "cpu":
            raise ProfileError("theorem1 simulates the bound, on the CPU; leave --anchor, --from and --device out")
        _simulate(budget, dictionary, store)
        return
    if dictionary is not None:
        raise ProfileError(f"experiment {name} builds its own dictionaries; --dictionary is for theorem1")
    chosen, spent = find_experiment(name), find_budget(budget)
    if anchor is not None and chosen.trained:
        raise ProfileError(f"experiment {name} trains its own anchor; --anchor is for figure2c and drift")
    if chosen.frames:
        if anchor is not None:
            raise ProfileError(f"experiment {name} compares with {chosen.anchor}; --anchor is for figure2c and drift")
        check_frames()
    if start is not None:
        if not chosen.trained:
            raise ProfileError(f"experiment {name} trains nothing; --from is for those that do")
        begun = find_model(LayeredStore(store), start)
        if chosen.references and read_config(begun).conditioning is not Conditioning.NONE:
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


def _simulate(budget: str, dictionary: str | None, store: str | None) -> None:
    """theorem1: seconds to minutes of arithmetic, so no flow."""
    from clc.api import DEFAULT, find_model
    from clc.store import Kind
    from clc.store.shipped import LayeredStore
    from clc.theory.sweeps import find_simulation_budget
    from clc.theory.theorem1 import NAME, simulated
    from clc.theory.theorem1_table import markdown

    spent, opened = find_simulation_budget(budget), LayeredStore(store)
    dictionary = dictionary or find_model(opened, DEFAULT).attributes.get("dictionary")
    if dictionary is None:
        raise ProfileError("the default model was trained without a dictionary; name one with --dictionary")
    version = simulated(spent, opened.get(Kind.DICTIONARY, dictionary), store=opened)
    opened.aliases.set(Kind.RESULTS, NAME, version)
    typer.echo(f"{markdown(version)}\n\n{version}: `clc report {version.short_id}`")
