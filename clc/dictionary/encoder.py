"""A codec that can encode: with the dictionary that its model was trained against, searched as the model expects."""

from clc.codec.artifact import open_codec
from clc.codec.attention import EntryCompression
from clc.codec.codec import Codec
from clc.dictionary.cache import KeyValueCache
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieve import RetrievalConfig
from clc.store import Store, Version


def open_encoder(
    store: Store, model: Version, dictionary: Version, *, backbone: str | None = None
) -> tuple[Codec, Dictionary]:
    """A codec with references, and the dictionary it retrieves them from.

    backbone: as for `Dictionary`. Raises MissingArtifactError if the reference latents were never computed.
    """
    config = RetrievalConfig.model_validate(model.attributes["retrieval"])
    codec = open_codec(store, model, dictionary)
    retriever = Dictionary(dictionary, backbone, queries=config.queries, cache=_cache(codec, config))
    codec.retriever = retriever
    return codec, retriever


def _cache(codec: Codec, config: RetrievalConfig) -> KeyValueCache | None:
    network = codec.model
    if not config.attention or codec.latents is None:
        return None
    compression = EntryCompression(network.g_a, network.matching.attention, codec.latents)
    if config.cache_bytes is not None:
        return KeyValueCache.within(compression, config.cache_bytes)
    return KeyValueCache(compression, config.cache_entries)
