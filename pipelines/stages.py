"""One Prefect task a stage. A task takes a profile, the store's URL and version references, and returns a reference.

Skipping what is done is the store's business (by recipe), so Prefect caches nothing.
"""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from clc.codec.artifact import reference_latents
from clc.dictionary import assignments, cluster, features, index, patches, reduce
from clc.dictionary.dictionary import Dictionary
from clc.evaluation.report import write_report
from clc.evaluation.versions import evaluate_versions
from clc.images import open_source
from clc.profile import Profile
from clc.store import Kind, Store, Version
from clc.training.train import TrainingJob, train

RUNS = Path("runs")
REPORTS = Path("reports")


@task(cache_policy=NO_CACHE)
def crop_references(profile: Profile, store: str) -> str:
    """Photos → patches, the candidates for entries."""
    return patches.crop(open_source(profile.sources.reference), config=profile.crop, store=Store(store)).version.ref


@task(cache_policy=NO_CACHE)
def extract_features(profile: Profile, store: str, reference_patches: str) -> str:
    """Patches → SPP features."""
    opened = Store(store)
    version = opened.get(Kind.PATCHES, reference_patches)
    return features.extract(version, config=profile.features, store=opened).version.ref


@task(cache_policy=NO_CACHE)
def reduce_features(profile: Profile, store: str, feature_rows: str) -> str:
    """Features → keys."""
    opened = Store(store)
    return reduce.reduce(opened.get(Kind.FEATURES, feature_rows), config=profile.reduce, store=opened).version.ref


@task(cache_policy=NO_CACHE)
def cluster_keys(profile: Profile, store: str, keys: str) -> str:
    """Keys → clusters."""
    opened = Store(store)
    return cluster.cluster(opened.get(Kind.REDUCED, keys), config=profile.cluster, store=opened).version.ref


@task(cache_policy=NO_CACHE)
def index_entries(profile: Profile, store: str, clusters: str, keys: str, reference_patches: str) -> str:
    """Clusters, keys and patches → dictionary; moves the alias `latest`."""
    opened = Store(store)
    result = index.index(
        opened.get(Kind.CLUSTERS, clusters),
        opened.get(Kind.REDUCED, keys),
        opened.get(Kind.PATCHES, reference_patches),
        config=profile.index,
        store=opened,
    )
    return _as_latest(opened, result.version)


@task(cache_policy=NO_CACHE)
def assign_references(profile: Profile, store: str, dictionary: str) -> str:
    """Training photos → the references of their windows."""
    opened = Store(store)
    return assignments.assign(
        open_source(profile.sources.training),
        Dictionary(opened.get(Kind.DICTIONARY, dictionary), profile.features.backbone),
        references=profile.model.config.references,
        retrieval=profile.retrieval,
        store=opened,
    ).version.ref


@task(cache_policy=NO_CACHE)
def train_codec(profile: Profile, store: str, assigned: str, dictionary: str) -> str:
    """Training photos and their references → model; moves the alias `latest`."""
    opened = Store(store)
    job = TrainingJob(
        photos=open_source(profile.sources.training),
        choice=profile.model,
        config=profile.training,
        assignments=opened.get(Kind.ASSIGNMENTS, assigned),
        dictionary=opened.get(Kind.DICTIONARY, dictionary),
    )
    return _as_latest(opened, train(job, store=opened, runs=RUNS).version)


@task(cache_policy=NO_CACHE)
def compute_latents(store: str, dictionary: str, model: str) -> str:
    """Dictionary and model → reference latents."""
    opened = Store(store)
    return reference_latents(
        opened.get(Kind.DICTIONARY, dictionary), opened.get(Kind.MODEL, model), store=opened
    ).version.ref


@task(cache_policy=NO_CACHE)
def evaluate_codec(profile: Profile, store: str, model: str, dictionary: str, reference_patches: str) -> str:
    """Test photos → results; moves the alias `latest`."""
    opened = Store(store)
    result = evaluate_versions(
        opened.get(Kind.MODEL, model),
        opened.get(Kind.DICTIONARY, dictionary),
        [opened.get(Kind.PATCHES, reference_patches)],
        photos=open_source(profile.sources.test),
        config=profile.evaluation,
        store=opened,
        backbone=profile.features.backbone,
    )
    return _as_latest(opened, result.version)


@task(cache_policy=NO_CACHE)
def render_report(store: str, results: str) -> str:
    """Results → HTML page; returns its path."""
    version = Store(store).get(Kind.RESULTS, results)
    path = REPORTS / f"{version.short_id}.html"
    write_report(version, path)
    return str(path)


def _as_latest(store: Store, version: Version) -> str:
    store.aliases.set(version.kind, "latest", version)
    return version.ref
