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
from clc.errors import ProfileError, SourceError
from clc.store import Kind, Store

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
    backbone: BackboneOption = None,
    alias: Annotated[str, typer.Option(help="Alias that is moved to the new version.")] = "latest",
    workers: WorkersOption = None,
    dask_address: DaskAddressOption = None,
    store: StoreOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Build a dictionary from photos and publish it."""
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
    opened = Store(store)
    dask = DaskWorkers.asked_for(workers, dask_address)
    if dask is not None:
        dask.require()
    result = build_dictionary(
        open_source(spec),
        crop_config=(base.crop if base else CropConfig()).model_copy(update=_given(per_photo=per_photo)),
        feature_config=(base.features if base else FeatureConfig()).model_copy(update=_given(backbone=backbone)),
        reduce_config=(base.reduce if base else ReduceConfig()).model_copy(update=_given(dim=dim)),
        cluster_config=(base.cluster if base else ClusterConfig()).model_copy(update=_given(entries=entries)),
        index_config=base.index if base else IndexConfig(),
        store=opened,
        workers=dask,
        force=force,
    )
    opened.aliases.set(Kind.DICTIONARY, alias, result.version)
    typer.echo(
        f"{result.version} has {result.version.attributes['entries']} entries; "
        f"alias {alias} points at it{' (published before)' if result.skipped else ''}"
    )


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


def _weights(backbone: str | None) -> list[Path]:
    return [Path(backbone.removeprefix("file:"))] if backbone is not None and backbone.startswith("file:") else []


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
