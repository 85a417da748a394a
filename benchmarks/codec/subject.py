"""What is measured: a model with its dictionary, and photos. The options that every benchmark of the codec has."""

import argparse
from dataclasses import dataclass
from itertools import islice

from benchmarks.data import pack
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import find_values, reference_latents
from clc.codec.codec import Codec
from clc.codec.size_limit import MAX_PIXELS
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import MissingArtifactError
from clc.images import Photo, open_source, read_photos
from clc.store import Kind, Store, Version
from clc.store.shipped import LayeredStore


@dataclass(frozen=True)
class Subject:
    """Versions of one store."""

    store: Store
    model: Version
    dictionary: Version

    def codec(self, max_pixels: int = MAX_PIXELS) -> Codec:
        """A codec of its own that reads and writes streams with references and without."""
        return open_encoder(self.store, self.model, self.dictionary, max_pixels=max_pixels)[0]


def add_options(parser: argparse.ArgumentParser) -> None:
    """--store, --model, --dictionary, --source, --limit."""
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", help="model version; default: alias production, else the shipped one")
    parser.add_argument("--dictionary", help="dictionary version; default: the one the model was trained with")
    parser.add_argument("--source", help="photos, as a source spec; default: the pack kodak")
    parser.add_argument("--limit", type=int, help="use the first LIMIT photos only")


def open_subject(options: argparse.Namespace, quiet: bool = False) -> Subject:
    """The versions that the options name, and what a decoder needs of them; quiet: nothing is printed."""
    store = LayeredStore(options.store)
    model = find_model(store, options.model or DEFAULT)
    dictionary = store.get(Kind.DICTIONARY, options.dictionary or model.attributes["dictionary"])
    try:
        find_values(store, dictionary, model)
    except MissingArtifactError:
        reference_latents(dictionary, model, store=store)
    if not quiet:
        print(f"model {model.short_id}, dictionary {dictionary.short_id}")
    return Subject(store, model, dictionary)


def open_photos(options: argparse.Namespace) -> list[Photo]:
    """The photos that the options name, decoded."""
    return list(islice(read_photos(open_source(options.source or pack("kodak")), skipped=[]), options.limit))
