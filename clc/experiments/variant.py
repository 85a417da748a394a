"""One variant of an experiment on one data set: every stage from photos to measured files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clc.codec.artifacts import open_codec, read_config
from clc.codec.references.artifact import references_or_latents
from clc.evaluation.measure.evaluate import EvaluationConfig, Subject, evaluate
from clc.evaluation.measure.overlap import seen_by
from clc.evaluation.measure.versions import evaluate_versions
from clc.experiments.budgets import Budget
from clc.experiments.catalogue import Experiment, Variant
from clc.experiments.data_sets import DataSet, limited
from clc.images import open_source
from clc.production.profile import PhotoSources, Profile
from clc.production.profile_stages import assignments_of, dictionary_of
from clc.production.promotion import patches_of
from clc.runtime.profile_file import validated
from clc.store import Store, Version
from clc.training.job import TrainingJob
from clc.training.train import train

_NO_OTHERS: dict[str, object] = {name: () for name in EvaluationConfig.model_fields if name.endswith("_qualities")}
_MOST_PICTURES = 12
_GRID_STRIDE = 128  # stride of related photos' patches: a tile's content is at most 64 pixels off in one of them


def variant_profile(experiment: Experiment, variant: Variant, data: DataSet, budget: Budget, seed: int) -> Profile:
    """The whole job of a variant under a budget. Raises ProfileError for changes that no profile can have."""
    sources = PhotoSources(
        reference=limited(
            data.sources.reference, budget.collection_photos if data.related else budget.reference_photos
        ),
        training=limited(data.sources.training, budget.training_photos),
        test=limited(data.sources.test, budget.test_photos),
    )
    base: dict[str, dict[str, object]] = {
        "photos": sources.model_dump(),
        "crop": {"stride": _GRID_STRIDE} if data.related else {"per_photo": budget.per_photo},
        "features": {"backbone": "hog"},
        "reduce": {"dim": 64},
        "cluster": {"entries": None, "near_duplicates": None} if data.related else {"entries": budget.entries},
        "model": {"preset": "tiny"},
        "training": {
            "steps": budget.steps,
            "batch": budget.batch,
            "crop": 256,
            "learning_rate": 1e-3,
            "transform_rate": 0.25,
            "average": 0.99,
            "held_out": 0,
            "pattern_share": 0.0,  # the paper trains on photos
            "seed": seed,
        },
        "evaluation": {
            **({} if experiment.others else _NO_OTHERS),
            "clc_qualities": budget.qualities,
            "panel_images": 0 if experiment.pictures_at is None else min(budget.test_photos, _MOST_PICTURES),
            "panel_bpp": experiment.pictures_at,
            "allow_near_duplicates": data.related,
        },
    }
    for table, changes in variant.changes.items():
        base[table] = base.get(table, {}) | dict(changes)
    return validated(Profile, {"name": variant.name, **base}, f"variant {variant.name}")


def trained(
    profile: Profile, *, store: Store, runs: Path, start: Version | None = None, device: str = "cpu"
) -> Version:
    """The model of a profile, trained against the dictionary of its reference photos; skipped if the store has it.

    start: a model without conditioning that all variants start from.
    """
    dictionary = assignments = None
    if profile.model.config.takes_references:
        dictionary = dictionary_of(profile, store=store).version
        assignments = assignments_of(profile, dictionary, store=store).version
    photos = [profile.sources.training]
    job = TrainingJob.of_profile(profile, photos, assignments=assignments, dictionary=dictionary, start=start)
    return train(job, store=store, runs=runs, device=device).version


def measured(model: Version, profile: Profile, *, store: Store) -> Version:
    """The results of a model on the profile's test photos, with the dictionary of its reference photos; stages that the
    store has are skipped. Raises what the stages raise.
    """
    photos = open_source(profile.sources.test)
    if not read_config(model).takes_references:
        return evaluate(
            store=store,
            photos=photos,
            subject=Subject(model.short_id, None, lambda: (open_codec(store, model), _no_patch)),
            inputs={"model": model.ref},
            config=profile.evaluation,
            seen=seen_by([model]),
            about={"preset": model.attributes["preset"], **model.attributes["training"]},
        ).version
    dictionary = dictionary_of(profile, store=store).version
    references_or_latents(
        dictionary, model, open_source(profile.sources.reference), config=profile.references, store=store
    )
    return evaluate_versions(
        model,
        dictionary,
        [patches_of(dictionary, store)],
        photos=photos,
        config=profile.evaluation,
        store=store,
        backbone=profile.features.backbone,
    ).version


def _no_patch(entry: int) -> NDArray[np.uint8]:
    raise AssertionError("a codec without a dictionary shows no entries")
