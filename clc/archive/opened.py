"""A photo as it is read for an archive: decoded, and known by its content."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clc.archive.inputs import InputPhoto
from clc.archive.names import check_name, printable
from clc.errors import ArchiveError, ImageError
from clc.images.decode import decode_photo
from clc.images.metadata import Carry, Metadata
from clc.runtime.prefetch import in_parallel

_READERS = 2
_NOTHING = Metadata()


@dataclass(frozen=True)
class Opened:
    """A photo that was read. sha256: of its file; picture: of its pixels. reason: why it cannot be packed.

    metadata: what it carries beside its pixels.
    """

    photo: InputPhoto
    sha256: bytes = b""
    size: int = 0
    pixels: NDArray[np.uint8] | None = None
    picture: bytes = b""
    reason: str = ""
    metadata: Metadata = _NOTHING

    def without_pixels(self) -> "Opened":
        """The rest of it."""
        return replace(self, pixels=None)


def open_photo(photo: InputPhoto, *, max_pixels: int, carry: Carry | None = None) -> Opened:
    """Read, hash and decode a photo; the reason in it where that fails. carry: what of it is kept beside the pixels."""
    try:
        check_name(photo.name)
        data = photo.read()
        decoded = decode_photo(data, name=printable(photo.name), max_pixels=max_pixels, carry=carry)
    except (ArchiveError, ImageError) as error:
        return Opened(photo, reason=str(error))
    picture = hashlib.sha256(repr((decoded.pixels.shape, decoded.metadata.profile)).encode())
    picture.update(np.ascontiguousarray(decoded.pixels).data)
    sha256 = hashlib.sha256(data).digest()
    return Opened(photo, sha256, len(data), decoded.pixels, picture.digest(), metadata=decoded.metadata)


def duplicates(photos: Iterable[InputPhoto], *, max_pixels: int) -> Iterator[tuple[InputPhoto, str, str]]:
    """Each photo, with the name of an earlier one that has the same pixels, and with why it cannot be packed; or ""."""
    first: dict[bytes, str] = {}
    reading = partial(open_photo, max_pixels=max_pixels)
    for opened in in_parallel(reading, iter(photos), threads=_READERS, prepare=lambda: None):
        if opened.reason:
            yield opened.photo, "", opened.reason
        else:
            earlier = first.setdefault(opened.picture, opened.photo.name)
            yield opened.photo, "" if earlier == opened.photo.name else earlier, ""
