"""All stages of a dictionary in a row."""

from collections.abc import Callable
from typing import Protocol

from clc.dictionary.stages.cluster import ClusterConfig, cluster
from clc.dictionary.stages.features import FeatureConfig, extract
from clc.dictionary.stages.index import IndexConfig, index
from clc.dictionary.stages.patches import CropConfig, crop
from clc.dictionary.stages.reduce import ReduceConfig, reduce
from clc.dictionary.stages.stable import Earlier
from clc.images import PhotoSource
from clc.stages.shards import Workers
from clc.store import StageResult, Store, Version


class StageRunner(Protocol):
    """Runs a stage that needs nothing more to run, such as in a task of an orchestration."""

    def __call__(self, name: str, stage: Callable[[], StageResult], /) -> StageResult:
        """What the stage returns."""


def run_directly(_name: str, stage: Callable[[], StageResult], /) -> StageResult:
    """A `StageRunner` that adds nothing."""
    return stage()


def build_dictionary(
    photos: PhotoSource,
    *,
    crop_config: CropConfig,
    feature_config: FeatureConfig,
    reduce_config: ReduceConfig,
    cluster_config: ClusterConfig,
    index_config: IndexConfig,
    store: Store,
    workers: Workers | None = None,
    earlier: Version | None = None,
    force: bool = False,
    run: StageRunner = run_directly,
) -> StageResult:
    """Photos → dictionary version (paper figure 2 (a)). Stages that were done before are skipped.

    workers: who cuts patches and extracts features; None: this process. earlier: a dictionary whose entries are kept
    where that costs little. run: how each stage is run.

    Raises what the stages raise.
    """

    def made(name: str, stage: Callable[[], StageResult]) -> Version:
        return run(name, stage).version

    patches = made("crop", lambda: crop(photos, config=crop_config, store=store, workers=workers, force=force))
    features = made(
        "features", lambda: extract(patches, config=feature_config, store=store, workers=workers, force=force)
    )
    keys = made("reduce", lambda: reduce(features, config=reduce_config, store=store, force=force))
    kept = None if earlier is None else Earlier.of(earlier, patches, store)
    clusters = made("cluster", lambda: cluster(keys, config=cluster_config, store=store, earlier=kept, force=force))
    return run("index", lambda: index(clusters, keys, patches, config=index_config, store=store, force=force))
