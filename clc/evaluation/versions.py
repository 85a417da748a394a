"""Evaluating versions from a store: opens the codec, and finds out which photos it has seen."""

import logging
from collections.abc import Mapping, Sequence

from clc.codec.artifact import find_latents
from clc.dictionary.encoder import open_encoder
from clc.evaluation.evaluate import EvaluationConfig, evaluate
from clc.images import PhotoSource
from clc.store import StageResult, Store, Version

logger = logging.getLogger(__name__)


def evaluate_versions(
    model: Version,
    dictionary: Version,
    seen: Sequence[Version],
    *,
    photos: PhotoSource,
    config: EvaluationConfig,
    store: Store,
    backbone: str | None = None,
    force: bool = False,
) -> StageResult:
    """Measure a model with its dictionary on photos that it was not trained on and that are in none of `seen`, versions
    of kind `patches`.

    backbone: as in `Dictionary`.

    Raises OverlapError for a photo that is, MissingArtifactError without reference latents, and what `evaluate` raises.
    """
    codec, retriever = open_encoder(store, model, dictionary, backbone=backbone)
    result = evaluate(
        store=store,
        photos=photos,
        codec=codec,
        patches_of=retriever.patch,
        # The latents too: what a result depends on is what garbage collection keeps for it.
        inputs={
            "model": model.ref,
            "dictionary": dictionary.ref,
            "latents": find_latents(store, dictionary, model).ref,
        },
        config=config,
        forbidden=photos_of({"patches": seen, "photos": [model]}),
        about={"preset": model.attributes["preset"], **model.attributes["training"]},
        force=force,
    )
    if retriever.cache is not None and not result.skipped:
        cache = retriever.cache.statistics
        logger.info(
            "stage=results cache_hit_rate=%.3f cache_entries=%d cache_bytes=%d cache_evictions=%d",
            *(cache.hit_rate, cache.entries, cache.bytes, cache.evictions),
        )
    return result


def photos_of(tables: Mapping[str, Sequence[Version]]) -> dict[str, str]:
    """SHA-256 of the pixels of every photo that tables of versions name → which photo of which version that was.

    tables: the table's name → versions that have it.
    """
    photos: dict[str, str] = {}
    for name, versions in tables.items():
        for version in versions:
            table = version.table(name, columns=["photo_sha256", "image_id"])
            for sha256, image_id in zip(*(column.to_pylist() for column in table.columns), strict=True):
                photos.setdefault(sha256, f"photo {image_id!r} of {version}")
    return photos
