"""What a stage logs of how far it is becomes a progress bar, and never what the stage fails by."""

import logging
from uuid import UUID, uuid4

import httpx
import pytest

from pipelines.runtime import progress
from pipelines.runtime.progress import progress_bar

logger = logging.getLogger("clc.stages.shards")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the server was told, with no pause between."""
    monkeypatch.setattr(progress, "_LONG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger("clc"), "level", logging.INFO)
    told: list[float] = []

    def create(progress: float, description: str) -> UUID:
        assert description == "stage features"
        told.append(progress)
        return uuid4()

    def update(artifact: UUID, progress: float) -> None:
        told.append(progress)

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact", update)
    return told


def test_a_bar_follows_what_the_stage_logs(shown: list[float]) -> None:
    with progress_bar():
        logger.info("stage=features shards=%d/%d rank=0 skipped=False seconds=1.0", 1, 4)
        logger.info("stage=features published version=features/1")
        logger.info("stage=features step=3 done=%.1f%% loss=1.0", 50.0)
        logger.info("stage=features photo=4/4 image_id=a codecs=1/2")
    logger.info("stage=features shards=1/4")
    assert shown == [25.0, 50.0, 100.0]


def test_a_stage_that_is_soon_over_has_none(shown: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LONG_SECONDS", 60.0)
    with progress_bar():
        logger.info("stage=features shards=4/4")
    assert shown == []


def test_a_server_that_is_gone_is_asked_once(shown: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def create(progress: float, description: str) -> UUID:
        asked.append(progress)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    with progress_bar():
        for number in range(1, 4):
            logger.info("stage=features shards=%d/4", number)
    assert asked == [25.0]
