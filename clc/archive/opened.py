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
from clc.images import decode
from clc.runtime.prefetch import in_parallel

_READERS = 2


@dataclass(frozen=True)
class Opened:
    """A photo that was read. sha256: of its file; picture: of its pixels. reason: why it cannot be packed."""

    photo: InputPhoto
    sha256: bytes = b""
    size: int = 0
    pixels: NDArray[np.uint8] | None = None
    picture: bytes = b""
    reason: str = ""

    def without_pixels(self) -> "Opened":
        """The rest of it."""
        return replace(self, pixels=None)


def open_photo(photo: InputPhoto, *, max_pixels: int) -> Opened:
    """Read, hash and decode a photo; the reason in it where that fails."""
    try:
        check_name(photo.name)
        data = photo.read()
        pixels = decode(data, name=printable(photo.name), max_pixels=max_pixels)
    except (ArchiveError, ImageError) as error:
        return Opened(photo, reason=str(error))
    picture = hashlib.sha256(repr(pixels.shape).encode())
    picture.update(np.ascontiguousarray(pixels).data)
    return Opened(photo, hashlib.sha256(data).digest(), len(data), pixels, picture.digest())


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
