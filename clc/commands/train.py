"""`clc train`."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import BackboneOption, ForceOption, StoreOption
from clc.store import Kind


def train(
    profile: Annotated[str, typer.Option(help="Network and recipe: a profile's name, or the path of a TOML file.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Photos to train on: folder:PATH, parquet:PATH, ...; may be repeated. Default: the profile's."
        ),
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Dictionary version that references come from. Default: alias latest.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Model version to start from: default, an alias or an id.")
    ] = None,
    matched: Annotated[
        str | None,
        typer.Option("--matched-from", help="Model version whose networks for references alone to start from."),
    ] = None,
    conditioning: Annotated[
        str | None, typer.Option(help="none, paper, prior or both, instead of the profile's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget in steps, instead of the profile's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Budget in minutes, instead of the profile's.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--restart", help="Continue an interrupted run of the same kind, or start again."),
    ] = True,
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and reconstruction sheets.")] = Path("runs"),
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    loaders: Annotated[
        int, typer.Option(min=0, help="Processes beside this one that draw crops; a GPU waits for them.")
    ] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write the log as TensorBoard reads it, into the run's folder.")
    ] = False,
    backbone: BackboneOption = None,
    alias: Annotated[str, typer.Option(help="Alias that is moved to the new version.")] = "latest",
    store: StoreOption = None,
    force: ForceOption = False,
) -> None:
    """Train a model, freeze it and publish it, with the reference latents of its dictionary.

    Several GPUs, or processes: `torchrun -m clc.training`.
    """
    import logging

    from clc.api import find_model
    from clc.codec.artifacts import reference_latents
    from clc.dictionary.dictionary import Dictionary
    from clc.dictionary.stages.assignments import assign
    from clc.images import open_source
    from clc.images.sources.combined import CombinedPhotos
    from clc.production.profile import load_profile
    from clc.runtime.profile_file import overridden
    from clc.store.shipped import LayeredStore
    from clc.training import train as stage

    logging.getLogger("clc.training").setLevel(logging.INFO)
    base = load_profile(profile)
    choice = overridden(base.model, {"conditioning": conditioning}, "--conditioning")
    config = base.training.with_budget(steps=steps, minutes=minutes)
    photos = CombinedPhotos([open_source(spec) for spec in data or [base.sources.training]])
    opened = LayeredStore(store)
    chosen = assignments = None
    if choice.config.takes_references:
        chosen = opened.get(Kind.DICTIONARY, dictionary or "latest")
        assignments = assign(
            photos,
            Dictionary(chosen, backbone),
            references=choice.config.references,
            retrieval=base.retrieval,
            store=opened,
        ).version
    job = stage.TrainingJob(
        photos=photos,
        choice=choice,
        config=config,
        assignments=assignments,
        dictionary=chosen,
        start=None if start is None else find_model(opened, start),
        matched=None if matched is None else find_model(opened, matched),
    )
    result = stage.train(
        job,
        store=opened,
        runs=runs,
        device=device,
        restart=not resume,
        force=force,
        tensorboard=tensorboard,
        loaders=loaders,
    )
    if chosen is not None:
        reference_latents(chosen, result.version, store=opened)
    opened.aliases.set(Kind.MODEL, alias, result.version)
    typer.echo(f"{result.version}; alias {alias} points at it{' (published before)' if result.skipped else ''}")
