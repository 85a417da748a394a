"""`clc dictionary build`, `diff`, `explore` and `gc`, beside what every kind offers."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.artifacts import artifact_app
from clc.commands.gc import gc
from clc.commands.options import (
    BackboneOption,
    DaskAddressOption,
    ForceOption,
    OverwriteOption,
    StoreOption,
    StrictOption,
    WorkersOption,
)
from clc.commands.outputs import check_page
from clc.commands.standard import announce
from clc.commands.version_argument import RefArgument
from clc.errors import DictionaryError, ProfileError, SourceError
from clc.store import Kind, Store, Version
from clc.store.shipped import LayeredStore

app = artifact_app(Kind.DICTIONARY)
app.command()(gc)  # of the whole store: a dictionary holds what it was made from


@app.command()
def build(
    source: Annotated[
        str | None, typer.Option(help="Photos: bundled, folder:PATH, parquet:PATH or dataset:NAME.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Take every setting not given here from this profile.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N photos only.")] = None,
    entries: Annotated[int | None, typer.Option(min=1, help="Entries K. Default: 3000.")] = None,
    dim: Annotated[int | None, typer.Option(min=1, help="Dimension of a key. Default: 256.")] = None,
    per_photo: Annotated[int | None, typer.Option(min=1, help="Patches cut from a photo. Default: 10.")] = None,
    meant_for: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Keep only photos that save more than they take if so many are coded; 0: all. Default: the profile's.",
        ),
    ] = None,
    backbone: BackboneOption = None,
    model: Annotated[
        str, typer.Option(help="Model that its photos are coded for as references: default, an alias or an id.")
    ] = "default",
    references: Annotated[
        bool, typer.Option("--references/--no-references", help="Code the photos, so that it can be coded with.")
    ] = True,
    alias: Annotated[str, typer.Option(help="Alias that is moved to the new version.")] = "latest",
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    store: StoreOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Build a dictionary from photos and publish it, with its references for a model."""
    from clc.api import find_model
    from clc.codec.artifacts import read_config
    from clc.codec.references.artifact import ReferencesConfig, references_or_latents
    from clc.dictionary.build import build_dictionary
    from clc.dictionary.stages.cluster import ClusterConfig
    from clc.dictionary.stages.features import FeatureConfig
    from clc.dictionary.stages.index import IndexConfig
    from clc.dictionary.stages.patches import CropConfig
    from clc.dictionary.stages.reduce import ReduceConfig
    from clc.images import open_source
    from clc.production.profile import load_profile
    from clc.stages.workers import DaskWorkers

    base = load_profile(profile) if profile is not None else None
    spec = source or (base.photos.reference if base and base.photos else None)
    if spec is None:
        raise ProfileError("name the photos with --source, or a profile that does with --profile")
    if limit is not None:
        spec += f"{'&' if '?' in spec else '?'}limit={limit}"
    opened = LayeredStore(store)
    named = find_model(opened, model) if references else None
    if named is not None and not read_config(named).takes_references:
        raise DictionaryError(f"{named} takes no references; name another with --model, or build with --no-references")
    dask = DaskWorkers.asked_for(workers, dask_address)
    if dask is not None:
        dask.require()
    photos = open_source(spec)
    crop_config = (base.crop if base else CropConfig()).model_copy(update=_given(per_photo=per_photo))
    if meant_for is not None:
        crop_config = crop_config.model_copy(update={"meant_for": meant_for or None})
    result = build_dictionary(
        photos,
        crop_config=crop_config,
        feature_config=(base.features if base else FeatureConfig()).model_copy(update=_given(backbone=backbone)),
        reduce_config=(base.reduce if base else ReduceConfig()).model_copy(update=_given(dim=dim)),
        cluster_config=(base.cluster if base else ClusterConfig()).model_copy(update=_given(entries=entries)),
        index_config=base.index if base else IndexConfig(),
        store=opened,
        workers=dask,
        force=force,
    )
    coded = None
    if named is not None:
        config = base.references if base else ReferencesConfig()
        coded = references_or_latents(result.version, named, photos, config=config, store=opened).version
    opened.aliases.set(Kind.DICTIONARY, alias, result.version)
    typer.echo(
        f"{result.version} has {result.version.attributes['entries']} entries; "
        f"alias {alias} points at it{' (published before)' if result.skipped else ''}"
    )
    if coded is not None:
        typer.echo(_described(coded))


@app.command("references")
def code_references(
    ref: RefArgument,
    source: Annotated[str, typer.Option(help="Where the dictionary's photos are: folder:PATH, parquet:PATH, ...")],
    model: Annotated[str, typer.Option(help="Model version: default, an alias or an id.")] = "default",
    quality: Annotated[
        float | None, typer.Option(min=1, max=100, help="Of each photo. Default: that of [references] in a profile.")
    ] = None,
    effort: Annotated[int | None, typer.Option(min=0, max=9, help="As for `clc compress`. Default: likewise.")] = None,
    store: StoreOption = None,
    force: ForceOption = False,
) -> None:
    """Code the photos of a dictionary as references for a model: each once, alone, whole.

    What was built by an earlier release gets references so, too; its streams stay decodable.
    """
    from clc.api import find_model
    from clc.codec.references.artifact import ReferencesConfig, references
    from clc.images import open_source

    opened = LayeredStore(store)
    given = {"quality": quality, "effort": effort}
    config = ReferencesConfig.model_validate({name: value for name, value in given.items() if value is not None})
    version, named = opened.get(Kind.DICTIONARY, ref), find_model(opened, model)
    result = references(version, named, open_source(source), config=config, store=opened, force=force)
    typer.echo(f"{_described(result.version)}{' (published before)' if result.skipped else ''}")


@app.command("photos")
def extract_photos(
    ref: RefArgument,
    out: Annotated[Path, typer.Option(help="Folder for the photos, as PNG.")],
    model: Annotated[
        str | None, typer.Option(help="Model whose references to decode. Default: those that were made last.")
    ] = None,
    force: OverwriteOption = False,
    store: StoreOption = None,
) -> None:
    """Decode the whole photos that a dictionary keeps as references."""
    from clc.api import find_model
    from clc.dictionary.inspect.photos import write_photos

    opened = LayeredStore(store)
    version = opened.get(Kind.DICTIONARY, ref)
    written = write_photos(
        version, opened, out, model=None if model is None else find_model(opened, model), overwrite=force
    )
    announce(str(out), f"{len(written)} photos of {version}")


@app.command("diff")
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Dictionary version before: alias, id or unique prefix.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Dictionary version after.")],
    probes: Annotated[
        str | None, typer.Option(help="Photos whose tiles are looked up in both: bundled, folder:PATH, ...")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Entries M that a tile retrieves.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    backbone: BackboneOption = None,
    store: StoreOption = None,
    strict: StrictOption = False,
) -> None:
    """Show what changed from one dictionary to another."""
    import numpy as np

    from clc.dictionary.inspect.diff import diff, render_text, to_json
    from clc.images import SkippedPhoto, open_source, read_photos
    from clc.model.tiles import image_tiles

    opened = Store(store)
    versions = opened.get(Kind.DICTIONARY, a), opened.get(Kind.DICTIONARY, b)
    tiles = None
    if probes is not None:
        skipped: list[SkippedPhoto] = []
        parts = [image_tiles(photo.pixels) for photo in read_photos(open_source(probes), skipped)]
        if not parts:
            raise SourceError(f"{probes}: none of its {len(skipped)} photos can be read, so nothing can be looked up")
        tiles = np.concatenate(parts)
    difference = diff(*versions, probes=tiles, number=number, backbone=backbone)
    typer.echo(to_json(difference) if as_json else render_text(difference).rstrip("\n"))


@app.command()
def explore(
    ref: RefArgument,
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: reports/dictionary-ID.html.")] = None,
    query: Annotated[list[Path] | None, typer.Option(help="Show what this photo retrieves; may be repeated.")] = None,
    number: Annotated[int, typer.Option(min=1, help="Entries M that a tile retrieves.")] = 3,
    backbone: BackboneOption = None,
    force: OverwriteOption = False,
    store: StoreOption = None,
) -> None:
    """Render a dictionary as one self-contained HTML page: map, entries, clusters, what photos retrieve.

    At its default name, it replaces the page before; elsewhere, --force does.
    """
    opened = Store(store)
    version = opened.get(Kind.DICTIONARY, ref)
    path = out or Path("reports") / f"dictionary-{version.short_id}.html"
    overwrite = force or out is None
    check_page(path, store=opened, overwrite=overwrite, sources=[*(query or []), *_weights(backbone)])

    from clc.dictionary.inspect.explore import member_versions, write_explorer
    from clc.images import read_image

    queries = [(photo.name, read_image(photo)) for photo in query or []]
    members = member_versions(version, opened)
    write_explorer(version, *members, queries, number, path=path, backbone=backbone, overwrite=overwrite)
    announce(str(path), f"{version.attributes['entries']} entries of {version}")


def _described(coded: Version) -> str:
    size = sum(entry.bytes for entry in coded.manifest.files.values())
    number = coded.rows("pictures") if coded.kind is Kind.REFERENCES else coded.rows("latents")
    return f"{coded}: {number} {'photos' if coded.kind is Kind.REFERENCES else 'latents'}, {size / 1e6:.2f} MB"


def _weights(backbone: str | None) -> list[Path]:
    return [Path(backbone.removeprefix("file:"))] if backbone is not None and backbone.startswith("file:") else []


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
