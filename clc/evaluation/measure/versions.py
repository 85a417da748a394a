"""Evaluating versions from a store: opens the codec, and finds out which photos it has seen."""

import logging
from collections.abc import Sequence

from clc.codec.artifacts import find_values
from clc.codec.codec import Codec
from clc.codec.references.coded import CodedPhotos
from clc.dictionary.retrieval.cache import KeyValueCache
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.evaluation.measure.evaluate import EvaluationConfig, Subject, evaluate
from clc.evaluation.measure.overlap import seen_by
from clc.evaluation.report.panels import PatchOf
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
