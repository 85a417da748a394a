"""One variant of an experiment on one data set: every stage from photos to measured files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clc.codec.artifact import open_codec, reference_latents
from clc.dictionary import cluster, features, index, patches, reduce
from clc.dictionary.assignments import assign
from clc.dictionary.dictionary import Dictionary
from clc.evaluation.evaluate import EvaluationConfig, evaluate
from clc.evaluation.overlap import seen_by
from clc.evaluation.versions import evaluate_versions
from clc.experiments.budget import Budget
from clc.experiments.catalogue import Variant
from clc.experiments.photos import DataSet, limited
from clc.images import open_source
from clc.profile import PhotoSources, Profile
from clc.profile_file import validated
from clc.store import Store, Version
from clc.training.train import TrainingJob, train

_GRID_STRIDE = 128  # of patches of related photos: what a tile shows is at most 64 pixels off in one of them


def variant_profile(variant: Variant, data: DataSet, budget: Budget, seed: int) -> Profile:
    """The whole job of a variant under a budget. Raises ProfileError for changes that no profile can have."""
    sources = PhotoSources(
        # A collection counts whole: it is the redundancy between its photos that is measured.
        reference=data.sources.reference if data.related else limited(data.sources.reference, budget.reference_photos),
        training=limited(data.sources.training, budget.training_photos),
        test=limited(data.sources.test, budget.test_photos),
    )
    base: dict[str, dict[str, object]] = {
        "photos": sources.model_dump(),
        "crop": {"stride": _GRID_STRIDE} if data.related else {"per_photo": budget.per_photo},
        "features": {"backbone": "hog"},
        "reduce": {"dim": 64},
        "cluster": {"entries": None if data.related else budget.entries},
        "model": {"preset": "tiny"},
        "training": {
            "steps": budget.steps,
            "batch": budget.batch,
            "crop": 256,
            "learning_rate": 1e-3,
            "transform_rate": 0.25,
            "precision": "bfloat16",
            "average": 0.99,
            "held_out": 0,
            "seed": seed,
        },
        "evaluation": {
            **{field: () for field in EvaluationConfig.model_fields if field.endswith("_qualities")},  # no other codecs
            "clc_qualities": budget.qualities,
            "panel_images": 1,
            "allow_near_duplicates": data.related,
        },
    }
    for table, changes in variant.changes.items():
        base[table] = base.get(table, {}) | dict(changes)
    return validated(Profile, {"name": variant.name, **base}, f"variant {variant.name}")


def measured(profile: Profile, *, store: Store, runs: Path) -> Version:
    """The results of a profile's whole job; stages that the store has are skipped. Raises what the stages raise."""
    photos = open_source(profile.sources.test)
    if not profile.model.config.takes_references:
        model = _trained(profile, None, store, runs)
        return evaluate(
            store=store,
            photos=photos,
            codec=open_codec(store, model),
            inputs={"model": model.ref},
            patches_of=_no_patch,
            config=profile.evaluation,
            seen=seen_by([model]),
            about={"preset": profile.model.preset, **model.attributes["training"]},
        ).version
    references = patches.crop(open_source(profile.sources.reference), config=profile.crop, store=store).version
    dictionary = _dictionary(profile, references, store)
    model = _trained(profile, dictionary, store, runs)
    reference_latents(dictionary, model, store=store)
    return evaluate_versions(
        model,
        dictionary,
        [references],
        photos=photos,
        config=profile.evaluation,
        store=store,
        backbone=profile.features.backbone,
    ).version


def _dictionary(profile: Profile, references: Version, store: Store) -> Version:
    rows = features.extract(references, config=profile.features, store=store).version
    keys = reduce.reduce(rows, config=profile.reduce, store=store).version
    clusters = cluster.cluster(keys, config=profile.cluster, store=store).version
    return index.index(clusters, keys, references, config=profile.index, store=store).version


def _trained(profile: Profile, dictionary: Version | None, store: Store, runs: Path) -> Version:
    photos = open_source(profile.sources.training)
    assignments = None
    if dictionary is not None:
        assignments = assign(
            photos,
            Dictionary(dictionary, profile.features.backbone),
            references=profile.model.config.references,
            retrieval=profile.retrieval,
            store=store,
        ).version
    job = TrainingJob(photos, profile.model, profile.training, assignments, dictionary)
    return train(job, store=store, runs=runs).version


def _no_patch(entry: int) -> NDArray[np.uint8]:
    raise AssertionError("a codec without a dictionary shows no entries")
