"""What a rebuild trains from, and what it need not train again."""

from dataclasses import replace

import pytest

from clc.errors import MissingArtifactError
from clc.images import open_source
from clc.model.config import Conditioning
from clc.production.starting import started_from, trained_already
from clc.training.config import TrainingConfig
from clc.training.job import AdaptedPreset, TrainingJob
from tests import miniature
from tests.conftest import World


@pytest.fixture
def job(world: World) -> TrainingJob:
    """That of the world's model, which is in production."""
    return TrainingJob(
        photos=open_source(f"folder:{world.photos}"),
        network=AdaptedPreset(preset=miniature.NAME, conditioning=Conditioning.PAPER),
        config=TrainingConfig(steps=6, batch=2, crop=64, refresh_every=3, learning_rate=1e-3, held_out=0),
        assignments=world.assignments,
        dictionary=world.dictionary,
    )


def test_training_starts_from_production_unless_told_otherwise(world: World, job: TrainingJob) -> None:
    assert started_from(job, "production", world.store).start == world.model
    assert started_from(job, "none", world.store).start is None
    assert started_from(job, world.model.short_id, world.store).start == world.model
    with pytest.raises(MissingArtifactError):
        started_from(job, "0123456789abcdef", world.store)


def test_another_network_starts_from_nothing(world: World, job: TrainingJob) -> None:
    other = replace(job, network=AdaptedPreset(preset="tiny"))
    assert started_from(other, "production", world.store).start is None


def test_what_production_was_trained_on_is_not_trained_on_again(world: World, job: TrainingJob) -> None:
    again = started_from(job, "production", world.store)
    assert again.recipe != job.recipe
    assert trained_already(again, world.store) == world.model
    more = replace(again, config=again.config.model_copy(update={"steps": 7}))
    assert trained_already(more, world.store) is None
