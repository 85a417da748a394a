"""A codec that can encode: with the dictionary that its model was trained against, searched as the model expects."""

from clc.codec.artifacts import entry_compression, find_values, open_values, read_model
from clc.codec.codec import Codec
from clc.codec.size_limit import MAX_PIXELS
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieval.cache import Compression, KeyValueCache
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.store import Store, Version


def open_encoder(
    store: Store,
    model: Version,
    dictionary: Version,
    *,
    backbone: str | None = None,
    values: Version | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Codec, Dictionary]:
    """A codec with references, and the dictionary it retrieves them from.

    backbone: as for `Dictionary`; values: references, or stored latents, other than `find_values` gives; max_pixels: as
    for `Codec`.
    Raises MissingArtifactError if the dictionary has no references under the model.
    """
    config = RetrievalConfig.model_validate(model.attributes.get("retrieval", {}))  # none was trained with
    network, values = read_model(model), values or find_values(store, dictionary, model)
    latents, photos = open_values(values, dictionary, network, model)
    compression = entry_compression(network, values, latents) if config.attention else None
    cache = None if compression is None else _cache(compression, config)
    retriever = Dictionary(dictionary, backbone, queries=config.queries, scope=config.scope, cache=cache)
    aligner = None
    if network.config.references_optional and photos.shown():  # only then: what finds keypoints takes long to import
        from clc.dictionary.retrieval.align import PhotoAligner

        aligner = PhotoAligner(photos)
    return Codec(network, model.short_id, latents, retriever, photos, max_pixels, aligner), retriever


def _cache(compression: Compression, config: RetrievalConfig) -> KeyValueCache:
    if config.cache_bytes is not None:
        return KeyValueCache.within(compression, config.cache_bytes)
    return KeyValueCache(compression, config.cache_entries)
