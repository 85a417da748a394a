"""New photos of a source into the archive of the dictionary in use; a new dictionary starts a new archive."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clc.archive.coding import StoreCoder
from clc.archive.creation import add_to_archive, create_archive
from clc.archive.exchange import archive_of_references
from clc.archive.inputs import InputPhoto, Inputs
from clc.archive.packer import PackSummary
from clc.codec.decisions.targets import Target
from clc.codec.references.find import find_references
from clc.errors import DictionaryError
from clc.images import PhotoSource
from clc.production.archive_config import ArchiveConfig
from clc.production.archive_place import ArchivePlace
from clc.production.promotion import PRODUCTION, dictionary_in_use
from clc.store import Kind, Store, Version


@dataclass(frozen=True)
class Packing:
    """What became of a source's new photos. url: of the archive, None if there was nothing to make one of."""

    url: str | None
    dictionary: Version
    started: bool
    summary: PackSummary
    size: int

    def __str__(self) -> str:
        if self.url is None:
            return "there are no photos to pack"
        done = f"{self.summary.packed} photos packed, {len(self.summary.failed)} failed"
        begun = "started " if self.started else ""
        return f"{begun}{self.url}: {done}, {self.size:,} bytes"


@dataclass
class _NewPhotos(Inputs):
    """The photos of sources whose files are not known."""

    known: set[bytes] = field(default_factory=set)

    def __iter__(self) -> Iterator[InputPhoto]:
        for photo in super().__iter__():
            if hashlib.sha256(photo.read()).digest() not in self.known:
                yield photo


def pack_new_photos(
    config: ArchiveConfig, name: str, references_of: PhotoSource, *, store: Store, threads: int | None = None
) -> Packing:
    """Add what is new in a profile's source to the archive of the dictionary in use, `NAME-DICTIONARY.clca`.

    A new archive begins with the photos of the dictionary, as the store's references have them, if the model in
    production can refer to them. references_of: where those photos are.
    Raises DictionaryError if no model with a dictionary is in production, and what packing raises.
    """
    dictionary = dictionary_in_use(store) if PRODUCTION in store.aliases.list(Kind.MODEL) else None
    if dictionary is None:
        raise DictionaryError("no model with a dictionary is in production; run `clc pipeline run` first")
    model = store.get(Kind.MODEL, PRODUCTION)
    place = ArchivePlace(config.folder, name)
    inputs = _NewPhotos(sources=[config.source], known=place.originals())
    coder = StoreCoder(model.id, Target.choose(quality=config.quality), effort=config.effort, store=store.url)
    started = False
    summary, size = PackSummary(), 0

    def create(path: Path) -> bool:
        nonlocal started, summary, size
        made = find_references(store, dictionary, model) if coder.takes_keys else None
        if made is not None:
            size = archive_of_references(made, dictionary, references_of, path)
        elif next(iter(inputs), None) is None:
            return False
        else:
            summary, size = create_archive(path, inputs, coder, threads=threads)
        started = True
        return True

    with place.changing(dictionary.short_id, create) as path:
        if path is None:
            return Packing(None, dictionary, False, summary, 0)
        if not summary.seen:
            summary, size = add_to_archive(path, inputs, coder, threads=threads)
    return Packing(place.url(dictionary.short_id), dictionary, started, summary, size)
