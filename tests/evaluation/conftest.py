"""A real codec with random weights and a random dictionary, and small photos to measure it on."""

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.codec.codec import Codec
from clc.codec.references.protocols import ReferenceLatents
from clc.codec.stream_header import tile_count
from clc.errors import DictionaryError
from clc.evaluation.measure.evaluate import EvaluationConfig, Subject, evaluate
from clc.images import EncodedPhoto
from clc.model.config import Conditioning
from clc.model.network import CalibrationCrop, CompressionModel
from clc.store import StageResult, Store
from tests.conftest import without_safety_net
from tests.miniature import MINIATURE

MODEL_ID, DICTIONARY_ID = "e" * 16, "d" * 16
ENTRIES = 8


@dataclass(frozen=True)
class MemoryPhotos:
    """A photo source of encoded files held in memory."""

    files: dict[str, bytes]
    spec: str = "memory:photos"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        for image_id, data in list(self.files.items())[start:stop]:
            yield EncodedPhoto(image_id, data, source=self.spec, licence="made for the tests")


class LeadingEntries:
    """Retrieves entries 0, 1, 2 for every tile, and fails on a black image."""

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        if not image.any():
            raise DictionaryError("nothing in the dictionary is like a black tile")
        return np.tile(np.arange(number), (tile_count(*image.shape[:2]), 1))


def make_picture(seed: int, height: int = 176, width: int = 192) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def make_patch(entry: int) -> NDArray[np.uint8]:
    return np.full((256, 256, 3), 20 * entry, dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _network_only() -> Iterator[None]:
    with without_safety_net():
        yield


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Images this small gain nothing from threads, and threads that wait for a busy core are slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def picture() -> Callable[..., NDArray[np.uint8]]:
    """picture(seed, height=176, width=192): smooth and random, for noise would hardly compress."""
    return make_picture


@pytest.fixture(scope="session")
def patch_of() -> Callable[[int], NDArray[np.uint8]]:
    """A dictionary whose patches are flat, with a grey level of 20 times the entry."""
    return make_patch


@pytest.fixture(scope="session")
def photos_of() -> Callable[[dict[str, NDArray[np.uint8] | bytes]], MemoryPhotos]:
    """A source of pictures (as PNG) and of files that are given as they are."""

    def source(photos: dict[str, NDArray[np.uint8] | bytes]) -> MemoryPhotos:
        return MemoryPhotos({name: each if isinstance(each, bytes) else png(each) for name, each in photos.items()})

    def png(pixels: NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return source


@pytest.fixture(scope="session")
def codec() -> Codec:
    return untrained_codec(Conditioning.PAPER)


@pytest.fixture(scope="session")
def reluctant_codec() -> Codec:
    """It believes references that have nothing to do with a picture, so that they do not pay."""
    codec = untrained_codec(Conditioning.PRIOR)
    for network in codec.model.prior.conditioned.slices:
        network.gate.bias.data.fill_(1.0)
    latents = replace(codec.latents, exponents=np.full_like(codec.latents.exponents, 4))
    return Codec(codec.model, MODEL_ID, latents, LeadingEntries())


def untrained_codec(conditioning: Conditioning) -> Codec:
    torch.manual_seed(0)
    model = CompressionModel(MINIATURE.model_copy(update={"conditioning": conditioning}))
    model.freeze([CalibrationCrop(torch.rand(1, 3, 64, 64), None, quality) for quality in (1.0, 100.0)])
    channels = model.config.transform.latent_channels
    values = np.random.default_rng(0).integers(-127, 128, (ENTRIES, channels, 16, 16), dtype=np.int8)
    latents = ReferenceLatents(values, np.full(channels, 12, np.int32), DICTIONARY_ID, MODEL_ID)
    return Codec(model, MODEL_ID, latents, LeadingEntries())


@pytest.fixture(scope="session")
def config() -> EvaluationConfig:
    return EvaluationConfig(
        clc_qualities=(30, 70),
        jpeg_qualities=(20, 80),
        webp_qualities=(20, 80),
        avif_qualities=(),
        jpeg_xl_qualities=(),
        hevc_qualities=(),
        vvc_qualities=(),
        panel_images=1,
        panel_quality=50,
    )


@pytest.fixture(scope="session")
def run(codec, config, patch_of) -> Callable[..., StageResult]:
    """`evaluate` with the codec and configuration of these tests unless a test says otherwise."""

    def run_evaluation(store: Store, photos: MemoryPhotos, **changes: object) -> StageResult:
        measured = changes.pop("codec", codec)
        entry_pictures = changes.pop("patches_of", patch_of)
        subject = Subject(
            measured.model_id,
            measured.latents.dictionary_id if measured.retriever else None,
            lambda: (measured, entry_pictures),
        )
        return evaluate(
            store=store, photos=photos, subject=subject, **{"config": config, "inputs": {}, "seen": [], **changes}
        )

    return run_evaluation


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """needs("program", ...): skips a test where one is not installed."""

    def need(*programs: str) -> None:
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            pytest.skip(f"{' and '.join(missing)} not on PATH")

    return need


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
