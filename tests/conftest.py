"""A small but whole world that tests share: photos on disk, a dictionary of them, a model trained for a few steps."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import reference_latents
from clc.codec.safety.net import SafetyNet
from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.dictionary.stages.assignments import assign
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.features import FeatureConfig
from clc.dictionary.stages.index import IndexConfig
from clc.dictionary.stages.patches import CropConfig
from clc.dictionary.stages.reduce import ReduceConfig
from clc.images import open_source
from clc.model.config import Conditioning
from clc.store import Kind, Store, Version
from clc.training.config import TrainingConfig
from clc.training.job import AdaptedPreset, TrainingJob
from clc.training.train import train
from tests import miniature
from tests.budget import pytest_runtest_call, pytest_terminal_summary  # noqa: F401  (hooks)

# On busy machines, a second OpenMP thread that spins for its turn makes everything many times slower.
torch.set_num_threads(1)
# Decoded pictures stay in the user's cache folder; tests must not find those of an earlier run, nor subprocesses.
_CACHE = tempfile.TemporaryDirectory(prefix="clc-tests-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

DICTIONARY_CONFIGS = {
    "crop_config": CropConfig(per_photo=8),
    "feature_config": FeatureConfig(backbone="hog"),
    "reduce_config": ReduceConfig(dim=8),
    "cluster_config": ClusterConfig(entries=16),
    "index_config": IndexConfig(leaf_size=4),
}


@dataclass(frozen=True)
class World:
    """What the `world` fixture built. Its dictionary has stored latents, as those of earlier releases have."""

    photos: Path
    test_photos: Path
    store: Store
    assignments: Version
    dictionary: Version
    model: Version
    latents: Version


def picture(seed: int, height: int = 360, width: int = 420) -> NDArray[np.uint8]:
    """A photo-like picture: soft gradients, edges and fine texture; the same for the same seed."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 100.0
    image = np.zeros((height, width, 3))
    for channel in range(3):
        phase, frequency = generator.uniform(0, 6, 4), generator.uniform(0.5, 4, 4)
        waves = [
            np.sin(f * (rows * np.cos(p) + columns * np.sin(p)) + p) for f, p in zip(frequency, phase, strict=True)
        ]
        image[..., channel] = 128 + 25 * np.sum(waves, axis=0)
    for _ in range(12):
        y, x = generator.integers(0, height - 40), generator.integers(0, width - 40)
        image[y : y + 40, x : x + 40] += generator.uniform(-60, 60, 3)
    image += generator.normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_photos(folder: Path, seeds: range, height: int = 360, width: int = 420) -> Path:
    """PNG files photo-SEED.png in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(picture(seed, height, width)).save(folder / f"photo-{seed}.png")
    return folder


@contextmanager
def without_safety_net() -> Iterator[None]:
    """The networks of tests are hardly trained, and next to no picture would be coded with one of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SafetyNet, "caught", lambda self, coded, keep=False: coded)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: processes that share the tests by files would wait for the last of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def network_only() -> Iterator[None]:
    """Pictures are coded by the network, however they come out."""
    with without_safety_net():
        yield


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six photos."""
    return write_photos(tmp_path_factory.mktemp("photos"), range(6))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> World:
    """Every stage, run once for the whole session. Tests must not change what is in it."""
    root = tmp_path_factory.mktemp("world")
    store = Store(root / "store")
    source = open_source(f"folder:{photos}")
    dictionary = build_dictionary(source, store=store, **DICTIONARY_CONFIGS).version
    opened = Dictionary(dictionary)
    assignments = assign(source, opened, references=3, retrieval=RetrievalConfig(), store=store).version
    job = TrainingJob(
        photos=source,
        network=AdaptedPreset(preset=miniature.NAME, conditioning=Conditioning.PAPER),
        config=TrainingConfig(steps=6, batch=2, crop=64, refresh_every=3, learning_rate=1e-3, held_out=0),
        assignments=assignments,
        dictionary=dictionary,
    )
    model = train(job, store=store, runs=root / "runs").version
    latents = reference_latents(dictionary, model, store=store).version
    for version in (dictionary, model):
        store.aliases.set(version.kind, "latest", version)
    store.aliases.set(Kind.MODEL, "production", model)  # what `default` means here
    test_photos = write_photos(root / "test-photos", range(100, 102))
    return World(photos, test_photos, store, assignments, dictionary, model, latents)
