"""What a rebuild trains from: the model in production, unless told otherwise, and nothing that is trained already."""

import logging
from dataclasses import replace

from clc.api import find_model
from clc.codec.artifacts import read_config
from clc.production.promotion import PRODUCTION
from clc.store import Kind, Recipe, Store, Version
from clc.training.job import TrainingJob, continues

logger = logging.getLogger(__name__)

NOTHING = "none"
"""Instead of a model's name: random weights."""

_START = "start"


def started_from(job: TrainingJob, name: str, store: Store) -> TrainingJob:
    """The job with its start. name: `production`, `none`, or a model as `clc.load` takes it.

    Where nothing is in production, or another network than the one to train, that starts from random weights. Raises
    MissingArtifactError for a model that there is not.
    """
    if name == NOTHING:
        return job
    if name != PRODUCTION:
        return replace(job, start=find_model(store, name))
    if PRODUCTION not in store.aliases.list(Kind.MODEL):
        return job
    production = store.get(Kind.MODEL, PRODUCTION)
    if not continues(read_config(production), job.network.config):
        logger.info("stage=train start=none: %s in production is another network than the one to train", production)
        return job
    return replace(job, start=production)


def trained_already(job: TrainingJob, store: Store) -> Version | None:
    """The model of a job, or the one in production if it was made by the same work from wherever that started.

    Without the second, each promotion would be a new start, and the same photos be trained on for ever.
    """
    recipe = job.recipe
    published = store.find(recipe)
    if published is not None or PRODUCTION not in store.aliases.list(Kind.MODEL):
        return published
    production = store.get(Kind.MODEL, PRODUCTION)
    same = _wherever_started(production.manifest.recipe) == _wherever_started(recipe)
    return production if same else None


def _wherever_started(recipe: Recipe) -> str:
    inputs = {role: reference for role, reference in recipe.inputs.items() if role != _START}
    return recipe.model_copy(update={"inputs": inputs}).hash
