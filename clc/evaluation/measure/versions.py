"""Evaluating versions from a store: opens the codec, and finds out which photos it has seen."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clc.codec.artifacts import find_values, open_codec, values_of
from clc.codec.codec import Codec
from clc.codec.references.coded import CodedPhotos
from clc.dictionary.retrieval.cache import KeyValueCache
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import MissingArtifactError
from clc.evaluation.measure.evaluate import EvaluationConfig, Subject, evaluate
from clc.evaluation.measure.overlap import refuse_overlap, seen_by
from clc.evaluation.report.panels import PatchOf
from clc.images import PhotoSource
from clc.images.provenance import PhotoIdentity
from clc.store import Kind, StageResult, Store, Version

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
) -> StageResult:
    """Measure a model with its dictionary on photos that it was not trained on and that are in none of `seen`, versions
    of kind `patches`.

    backbone: as in `Dictionary`.

    Raises OverlapError for a photo that is, MissingArtifactError without references, and what `evaluate` raises.
    """
    values = find_values(store, dictionary, model)
    cache: KeyValueCache | None = None

    def open_subject() -> tuple[Codec, PatchOf]:
        nonlocal cache
        codec, retriever = open_encoder(store, model, dictionary, backbone=backbone)
        cache = retriever.cache
        photos_shown = codec.lookup.photos
        return codec, photos_shown.patch if isinstance(photos_shown, CodedPhotos) else retriever.patch

    result = evaluate(
        store=store,
        photos=photos,
        subject=Subject(model.short_id, dictionary.short_id, open_subject),
        # The references too: what a result depends on is what garbage collection keeps for it.
        inputs={"model": model.ref, "dictionary": dictionary.ref, values.kind.value: values.ref},
        config=config,
        seen=seen_by([*seen, model]),
        about={"preset": model.attributes["preset"], **model.attributes["training"]},
    )
    if cache is not None:
        held = cache.statistics
        logger.info(
            "stage=results cache_hit_rate=%.3f cache_entries=%d cache_bytes=%d cache_evictions=%d",
            *(held.hit_rate, held.entries, held.bytes, held.evictions),
        )
    return result


def evaluate_model(
    model: Version, *, references: bool = True, photos: PhotoSource, config: EvaluationConfig, store: Store
) -> StageResult:
    """Measure a model with the dictionary that it was trained with; alone if it has none, or without `references`.

    Raises OverlapError for a photo that the model or its dictionary has seen (of a dictionary whose patches are not
    here, as of those that come with CLC, only the very photos of its entries can be told), and what `evaluate` raises.
    """
    named = model.attributes.get("dictionary")
    if not references or named is None:
        return evaluate(
            store=store,
            photos=photos,
            subject=Subject(model.short_id, None, lambda: (open_codec(store, model), _no_patch)),
            inputs={"model": model.ref},
            config=config,
            seen=seen_by([model]),
            about={"preset": model.attributes["preset"], **model.attributes["training"]},
        )
    dictionary = store.get(Kind.DICTIONARY, named)
    try:
        patches = [store.get(Kind.PATCHES, dictionary.manifest.recipe.inputs["patches"])]
    except MissingArtifactError:
        patches = []
        refuse_overlap(photos, _photos_of_entries(dictionary), near_duplicates=False)
    values_of(dictionary, model, store=store)
    return evaluate_versions(model, dictionary, patches, photos=photos, config=config, store=store)


def _photos_of_entries(dictionary: Version) -> list[PhotoIdentity]:
    rows = dictionary.table("entries", columns=["image_id", "photo_sha256"]).to_pylist()
    names = {row["photo_sha256"]: row["image_id"] for row in rows}
    return [PhotoIdentity(name, sha256, b"", user=str(dictionary)) for sha256, name in names.items()]


def _no_patch(entry: int) -> NDArray[np.uint8]:
    raise AssertionError(f"entry {entry} of no dictionary was asked for")
