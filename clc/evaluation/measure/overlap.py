"""Evaluation photos must not have been seen before: not in the dictionary, not in training."""

from collections.abc import Sequence

from clc.errors import OverlapError
from clc.images import PhotoSource, SkippedPhoto, read_photos
from clc.images.hashes import perceptual_hash
from clc.images.patch import pixels_sha256
from clc.images.provenance import PhotoIdentity, overlaps, read_identities
from clc.store import Version


def refuse_overlap(photos: PhotoSource, seen: Sequence[PhotoIdentity], *, near_duplicates: bool = True) -> None:
    """Decode every photo and look for it among those seen.

    near_duplicates: whether the same picture in another encoding or size is refused, too; photos of one fixed camera
    are that alike. Raises OverlapError that names the pair, SourceError if the photos cannot be read.
    """
    if not seen:
        return
    unreadable: list[SkippedPhoto] = []
    own = [
        PhotoIdentity(photo.image_id, pixels_sha256(photo.pixels), perceptual_hash(photo.pixels))
        for photo in read_photos(photos, unreadable)
    ]
    found = overlaps(own, seen, near_duplicates=near_duplicates)
    if found:
        (photo, other), others = found[0], len(found) - 1
        same = photo.photo_sha256 == other.photo_sha256
        more = f" ({others} more photos overlap)" if others else ""
        advice = "" if same else ", or set allow_near_duplicates for photos of a fixed camera"
        raise OverlapError(
            f"evaluation photo {photo.image_id!r} is {'the same as' if same else 'a near duplicate of'} {other}{more}; "
            f"evaluate on photos that are neither in the dictionary nor in training{advice}"
        )


def seen_by(versions: Sequence[Version]) -> list[PhotoIdentity]:
    """The photos that went into versions, by their table `photos`."""
    return [photo for version in versions for photo in read_identities(version.table("photos"), str(version))]
