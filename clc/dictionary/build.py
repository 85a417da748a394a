"""All stages of a dictionary in a row, for callers that need no orchestration."""

from clc.dictionary.stages.cluster import ClusterConfig, cluster
from clc.dictionary.stages.features import FeatureConfig, extract
from clc.dictionary.stages.index import IndexConfig, index
from clc.dictionary.stages.patches import CropConfig, crop
from clc.dictionary.stages.reduce import ReduceConfig, reduce
from clc.images import PhotoSource
from clc.stages.shards import Workers
from clc.store import StageResult, Store


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
    force: bool = False,
) -> StageResult:
    """Photos → dictionary version (paper figure 2 (a)). Stages that were done before are skipped.

    workers: who cuts patches and extracts features; None: this process.

    Raises what the stages raise.
    """
    patches = crop(photos, config=crop_config, store=store, workers=workers, force=force).version
    features = extract(patches, config=feature_config, store=store, workers=workers, force=force).version
    reduced = reduce(features, config=reduce_config, store=store, force=force).version
    clusters = cluster(reduced, config=cluster_config, store=store, force=force).version
    return index(clusters, reduced, patches, config=index_config, store=store, force=force)
