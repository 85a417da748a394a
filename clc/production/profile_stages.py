"""The stages that a profile sets up, for whoever runs them: flows and experiments."""

from clc.dictionary.build import StageRunner, build_dictionary, run_directly
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.stages.assignments import assign
from clc.images import open_source
from clc.production.profile import Profile
from clc.stages.shards import Workers
from clc.store import StageResult, Store, Version


def dictionary_of(
    profile: Profile,
    *,
    store: Store,
    workers: Workers | None = None,
    earlier: Version | None = None,
    run: StageRunner = run_directly,
) -> StageResult:
    """The dictionary of a profile's reference photos; the rest is as in `build_dictionary`."""
    return build_dictionary(
        open_source(profile.sources.reference),
        crop_config=profile.crop,
        feature_config=profile.features,
        reduce_config=profile.reduce,
        cluster_config=profile.cluster,
        index_config=profile.index,
        store=store,
        workers=workers,
        earlier=earlier,
        run=run,
    )


def assignments_of(profile: Profile, dictionary: Version, *, store: Store) -> StageResult:
    """The references of the windows of a profile's training photos. Raises what `assign` raises."""
    return assign(
        open_source(profile.sources.training),
        Dictionary(dictionary, profile.features.backbone),
        references=profile.model.config.references,
        retrieval=profile.retrieval,
        store=store,
    )
