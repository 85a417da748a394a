"""`clc dictionary build`, beside what every kind offers."""

from typing import Annotated

import typer

from clc.commands.artifacts import artifact_app
from clc.commands.options import BackboneOption, ForceOption, StoreOption
from clc.store import Kind, Store

app = artifact_app(Kind.DICTIONARY)


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
    store: StoreOption = None,
    force: ForceOption = False,
) -> None:
    """Build a dictionary from photos and publish it."""
    from clc.dictionary.build import build_dictionary
    from clc.dictionary.cluster import ClusterConfig
    from clc.dictionary.features import FeatureConfig
    from clc.dictionary.index import IndexConfig
    from clc.dictionary.patches import CropConfig
    from clc.dictionary.reduce import ReduceConfig
    from clc.errors import ProfileError
    from clc.images import open_source
    from clc.profile import load_profile

    base = load_profile(profile) if profile is not None else None
    spec = source or (base.photos.reference if base else None)
    if spec is None:
        raise ProfileError("name the photos with --source, or a profile that does with --profile")
    if limit is not None:
        spec += f"{'&' if '?' in spec else '?'}limit={limit}"
    opened = Store(store)
    result = build_dictionary(
        open_source(spec),
        crop_config=(base.crop if base else CropConfig()).model_copy(update=_given(per_photo=per_photo)),
        feature_config=(base.features if base else FeatureConfig()).model_copy(update=_given(backbone=backbone)),
        reduce_config=(base.reduce if base else ReduceConfig()).model_copy(update=_given(dim=dim)),
        cluster_config=(base.cluster if base else ClusterConfig()).model_copy(update=_given(entries=entries)),
        index_config=base.index if base else IndexConfig(),
        store=opened,
        force=force,
    )
    opened.aliases.set(Kind.DICTIONARY, alias, result.version)
    typer.echo(
        f"{result.version} has {result.version.attributes['entries']} entries; "
        f"alias {alias} points at it{' (published before)' if result.skipped else ''}"
    )


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
