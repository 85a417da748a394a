"""Evaluation photos must not have been seen before: not in the dictionary, not in training."""

from collections.abc import Mapping

from clc.errors import OverlapError
from clc.images import PhotoSource, SkippedPhoto, read_photos
from clc.images.patch import pixels_sha256


def refuse_overlap(photos: PhotoSource, forbidden: Mapping[str, str]) -> None:
    """Decode every photo and look it up in `forbidden`: `pixels_sha256` → where that photo was used.

    Equal pixels are found, near duplicates are not. Raises OverlapError that names the pair, SourceError if the photos
    cannot be read.
    """
    if not forbidden:
        return
    unreadable: list[SkippedPhoto] = []
    found = [
        (photo.image_id, forbidden[sha256])
        for photo in read_photos(photos, unreadable)
        if (sha256 := pixels_sha256(photo.pixels)) in forbidden
    ]
    if found:
        (image_id, use), others = found[0], len(found) - 1
        more = f" ({others} more photos overlap)" if others else ""
        raise OverlapError(
            f"evaluation photo {image_id!r} is the same as {use}{more}; "
            "evaluate on photos that are neither in the dictionary nor in training"
        )
