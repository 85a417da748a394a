"""`clc train`, in one process or in several that `torchrun` starts: `torchrun -m clc train …`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clc.commands.options import BackboneOption, ForceOption, StoreOption, StrictOption
from clc.errors import TrainingError
from clc.store import Kind, Store, Version

if TYPE_CHECKING:  # they need PyTorch, which `clc --help` does not wait for
    from clc.codec.references.artifact import ReferencesConfig
    from clc.images import PhotoSource
    from clc.training.start import Start


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
    references: Annotated[
        str | None,
        typer.Option(help="Where the dictionary's photos are. Default: the profile's reference photos, else --data."),
    ] = None,
    assignments: Annotated[
        str | None,
        typer.Option(
            help="References retrieved before for these photos, as `clc assignments list` shows them: nothing but "
            "training is done then, without any search library. Default: they are retrieved."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Model version to start from: default, an alias or an id. Or the path of an average.safetensors that "
            "--piece-megabytes left in pieces.",
        ),
    ] = None,
    conditioning: Annotated[
        str | None, typer.Option(help="none, paper, prior or both, instead of the profile's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Budget in steps, instead of the profile's; 0 publishes --from as it is.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Budget in minutes, instead of the profile's.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1, help="Batches that a step averages over, instead of the profile's. Default: one a process."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--restart", help="Continue an interrupted run of the same kind, or start again."),
    ] = True,
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and reconstruction sheets.")] = Path("runs"),
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:N; with several processes, cuda is one GPU for each.")
    ] = "cpu",
    loaders: Annotated[
        int, typer.Option(min=0, help="Processes beside each that trains which draw crops; a GPU waits for them.")
    ] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write the log as TensorBoard reads it, into the run's folder.")
    ] = False,
    piece_megabytes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Write checkpoints in files of at most so many MB, and the moving average alone beside them, as "
            "average.safetensors in float16.",
        ),
    ] = None,
    backbone: BackboneOption = None,
    alias: Annotated[str, typer.Option(help="Alias that is moved to the new version.")] = "latest",
    store: StoreOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Train a model, freeze it and publish it, with the references of its dictionary under it.

    Several GPUs, or processes: `torchrun --nproc-per-node N -m clc train`.
    """
    import torch

    from clc.codec.references.artifact import locate_photos, references_or_latents
    from clc.runtime.profile_file import overridden
    from clc.store.shipped import LayeredStore
    from clc.training import train as stage
    from clc.training.distributed import own_device, process_group
    from clc.training.job import TrainingJob, read_training_profile

    device = own_device(device)
    with process_group(torch.device(device)) as processes:
        if processes.first:
            logging.getLogger("clc.training").setLevel(logging.INFO)
        read = read_training_profile(profile)
        network = overridden(read.model, {"conditioning": conditioning}, "--conditioning")
        config = read.training.with_budget(steps=steps, minutes=minutes)
        if (count := devices or config.devices or (processes.count if processes.count > 1 else None)) is not None:
            config = config.model_copy(update={"devices": count})
        read = read.model_copy(update={"training": config, "model": network})
        photos = data or [_photos_of(profile)]
        opened = LayeredStore(store)
        entries = opened.get(Kind.DICTIONARY, dictionary or "latest") if network.config.takes_references else None
        own = None
        retrieved = None if assignments is None else opened.get(Kind.ASSIGNMENTS, assignments)
        if entries is not None and retrieved is None:
            if processes.count > 1:
                raise TrainingError(
                    "several processes cannot retrieve references side by side; name those of a run before, which "
                    "`clc assignments list` shows, with --assignments"
                )
            own = _DictionaryPhotos.of(profile, references, photos)
            locate_photos(entries, own.photos)  # rather than after hours of training
            retrieved = _retrieved(profile, network.config.references, photos, entries, backbone, opened)
        job = TrainingJob.of_profile(
            read,
            photos,
            assignments=retrieved,
            dictionary=entries,
            start=None if start is None else _start(opened, start),
        )
        if not processes.first:
            stage.take_part(job, store=opened, runs=runs, device=device, processes=processes, loaders=loaders)
            return
        result = stage.train(
            job,
            store=opened,
            runs=runs,
            device=device,
            restart=not resume,
            force=force,
            processes=processes,
            tensorboard=tensorboard,
            loaders=loaders,
            piece_bytes=None if piece_megabytes is None else int(piece_megabytes * 1e6),
        )
    if entries is not None and own is not None:
        references_or_latents(entries, result.version, own.photos, config=own.config, store=opened)
    opened.aliases.set(Kind.MODEL, alias, result.version)
    typer.echo(f"{result.version}; alias {alias} points at it{' (published before)' if result.skipped else ''}")


def _start(store: Store, name: str) -> "Start":
    from clc.api import find_model
    from clc.training.start import read_average

    return read_average(Path(name)) if name.endswith(".safetensors") else find_model(store, name)


@dataclass(frozen=True)
class _DictionaryPhotos:
    """Where the photos of a dictionary are, and how they are to be coded."""

    photos: "PhotoSource"
    config: "ReferencesConfig"

    @classmethod
    def of(cls, profile: str, named: str | None, data: list[str]) -> "_DictionaryPhotos":
        """named: the source, if it was given; else the profile's reference photos, or those that are trained on."""
        from clc.images import open_source
        from clc.images.sources.combined import CombinedPhotos
        from clc.production.profile import load_profile

        read = load_profile(profile)
        specs = [named] if named is not None else [read.photos.reference] if read.photos is not None else data
        return cls(CombinedPhotos([open_source(spec) for spec in specs]), read.references)


def _photos_of(profile: str) -> str:
    from clc.production.profile import load_profile

    return load_profile(profile).sources.training


def _retrieved(
    profile: str, references: int, photos: list[str], dictionary: Version, backbone: str | None, store: Store
) -> Version:
    """The assignments of photos from a dictionary, as a profile retrieves them."""
    from clc.dictionary.dictionary import Dictionary
    from clc.dictionary.stages.assignments import assign
    from clc.images import open_source
    from clc.images.sources.combined import CombinedPhotos
    from clc.production.profile import load_profile

    return assign(
        CombinedPhotos([open_source(spec) for spec in photos]),
        Dictionary(dictionary, backbone),
        references=references,
        retrieval=load_profile(profile).retrieval,
        store=store,
    ).version
