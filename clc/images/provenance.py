"""What a version remembers of the photos that went into it, so that nothing is ever measured on one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clc.images.hashes import NEAR_DUPLICATE_BITS, differing_bits

IDENTITY_SCHEMA = pa.schema(
    [pa.field("image_id", pa.string()), pa.field("photo_sha256", pa.string()), pa.field("perceptual_hash", pa.binary())]
)


@dataclass(frozen=True)
class PhotoIdentity:
    """One photo by name, `pixels_sha256` and `perceptual_hash`. user: what it went into."""

    image_id: str
    photo_sha256: str
    perceptual_hash: bytes
    user: str = ""

    def __str__(self) -> str:
        return f"photo {self.image_id!r} of {self.user}"


def identity_table(photos: Iterable[PhotoIdentity]) -> pa.Table:
    """A table of `IDENTITY_SCHEMA`, each photo once, in the order of their hashes."""
    distinct = sorted({photo.photo_sha256: photo for photo in photos}.values(), key=lambda photo: photo.photo_sha256)
    rows = [{name: getattr(photo, name) for name in IDENTITY_SCHEMA.names} for photo in distinct]
    return pa.Table.from_pylist(rows, schema=IDENTITY_SCHEMA)


def read_identities(table: pa.Table, user: str) -> list[PhotoIdentity]:
    """The inverse of `identity_table`."""
    return [PhotoIdentity(**row, user=user) for row in table.select(IDENTITY_SCHEMA.names).to_pylist()]


def overlaps(
    photos: Sequence[PhotoIdentity], used: Sequence[PhotoIdentity], *, near_duplicates: bool
) -> list[tuple[PhotoIdentity, PhotoIdentity]]:
    """Pairs of photos that are the same, the first from `photos`, the second from `used`.

    near_duplicates: whether the same picture in another encoding or size counts as the same.
    """
    if not photos or not used:
        return []
    known = {photo.photo_sha256: photo for photo in used}
    pairs = [(photo, known[photo.photo_sha256]) for photo in photos if photo.photo_sha256 in known]
    if near_duplicates:
        distances = differing_bits([p.perceptual_hash for p in photos], [p.perceptual_hash for p in used])
        nearest = distances.argmin(axis=1)
        pairs += [
            (photo, used[other])
            for photo, other, distance in zip(photos, nearest, distances.min(axis=1), strict=True)
            if distance <= NEAR_DUPLICATE_BITS and photo.photo_sha256 not in known
        ]
    return pairs
