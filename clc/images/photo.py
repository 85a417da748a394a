"""A photo, a place that photos come from, and reading the one from the other.

A source hands out encoded files; decoding is a separate step, so that content can be fingerprinted, copied or
counted without paying for pixels, and so that a corrupt photo is the reader's finding, not the source's failure.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clc.errors import ImageError, SourceError
from clc.images.decode import decode
from clc.runtime.remarks import leave_out


@dataclass(frozen=True)
class EncodedPhoto:
    """One photo as its source stores it; `data` is the encoded file, byte for byte.

    missing: why there is none, where its source has nothing but its name.
    """

    image_id: str
    data: bytes
    source: str
    licence: str
    split: str | None = None
    scene: str | None = None
    missing: str | None = None

    def read(self) -> bytes:
        """The encoded file. Raises ImageError if it is missing."""
        if self.missing is not None:
            raise ImageError(f"{self.image_id}: {self.missing}")
        return self.data


@dataclass(frozen=True, eq=False)
class Photo:
    """One decoded photo; `pixels` is uint8 [H, W, 3]."""

    image_id: str
    pixels: np.ndarray
    source: str
    licence: str
    split: str | None = None
    scene: str | None = None


@dataclass(frozen=True)
class SkippedPhoto:
    """A photo that could not be decoded, and why."""

    image_id: str
    reason: str


class PhotoSource(Protocol):
    """Where photos come from. Iterating twice gives the same photos in the same order."""

    @property
    def spec(self) -> str:
        """The source as the user wrote it."""

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """The photos from position `start` to before `stop`, lazily, in a deterministic order.

        Raises SourceError if the source cannot be read.
        """


@dataclass(frozen=True)
class Inventory:
    """What a source holds: a fingerprint of its content, and how many photos."""

    fingerprint: str
    photos: int


def read_photos(
    source: PhotoSource, skipped: list[SkippedPhoto], start: int = 0, stop: int | None = None
) -> Iterator[Photo]:
    """Decode the photos of `source` from position `start` to before `stop`, one at a time; memory holds one photo.

    A photo that cannot be decoded is appended to `skipped`, said to be left out (`clc.runtime.remarks`), and passed
    over.
    Raises SourceError if the source cannot be read or has two photos with one image_id, and for a photo that would be
    left out, where that is not to be.
    """
    for photo in _with_distinct_ids(source, start, stop):
        try:
            pixels = decode(photo.read(), name=photo.image_id)
        except ImageError as error:
            skipped.append(SkippedPhoto(photo.image_id, str(error)))
            leave_out(photo.image_id, _without_name(str(error), photo.image_id), source.spec)
            continue
        yield Photo(photo.image_id, pixels, photo.source, photo.licence, photo.split, photo.scene)


def fingerprint(source: PhotoSource) -> str:
    """The SHA-256 (hex) of a source's content: its image_ids and encoded files, in order.

    Where the photos are stored and what is said about them (source, licence, split) plays no part.
    Raises SourceError as `read_photos` does.
    """
    return inventory(source).fingerprint


def inventory(source: PhotoSource) -> Inventory:
    """The fingerprint of a source and the number of its photos. Raises SourceError as `read_photos` does."""
    photos = 0
    content = hashlib.sha256()
    for photo in _with_distinct_ids(source):
        # Digests have one length, so no two sequences of pairs can run together into the same bytes.
        content.update(hashlib.sha256(photo.image_id.encode()).digest())
        content.update(hashlib.sha256(photo.data).digest())
        photos += 1
    return Inventory(content.hexdigest(), photos)


def _with_distinct_ids(source: PhotoSource, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
    seen: set[str] = set()
    for photo in source.encoded(start, stop):
        if photo.image_id in seen:
            raise SourceError(f"{source.spec}: two photos are called {photo.image_id!r}; rename one")
        seen.add(photo.image_id)
        yield photo


def _without_name(message: str, name: str) -> str:
    return message.removeprefix(f"{name}: ")
