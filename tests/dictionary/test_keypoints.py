"""Where one photo lies in another, as keypoints tell."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.references.warp import CORNER_STEPS
from clc.dictionary.retrieval import keypoints
from clc.dictionary.retrieval.keypoints import Keypoints, corners_by_keypoints

HEIGHT, WIDTH = 192, 256
NUMBER = 60


def described(positions: NDArray[np.float64], seed: int) -> Keypoints:
    return Keypoints(positions, np.random.default_rng(seed).integers(0, 256, (len(positions), 128), dtype=np.uint8))


def somewhere(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform((0, 0), (WIDTH, HEIGHT), (NUMBER, 2))


def test_a_moved_camera_is_found() -> None:
    image = described(somewhere(0), seed=1)
    photo = Keypoints(image.positions + np.array([7.0, -3.0]), image.descriptors)
    corners = corners_by_keypoints(image, photo, HEIGHT, WIDTH)
    assert corners is not None
    assert np.abs(corners - np.array([7, -3]) * CORNER_STEPS).max() <= 1


def test_clear_matches_that_are_not_mutual_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """All keypoints of a repeated texture match one keypoint of another photo, clearly."""

    def tried(*_: object, **__: object) -> None:
        pytest.fail("RANSAC takes long to find nothing")

    photo = described(somewhere(0), seed=1)
    noise = np.random.default_rng(2).integers(-2, 3, (NUMBER, 128))
    image = Keypoints(somewhere(3), np.clip(photo.descriptors[:1] + noise, 0, 255).astype(np.uint8))
    monkeypatch.setattr(keypoints, "ransac", tried)
    assert corners_by_keypoints(image, photo, HEIGHT, WIDTH) is None
