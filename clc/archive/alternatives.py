"""What JPEG and AVIF would take for photos of an archive, at the PSNR that each has in it."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clc.archive.album import Album
from clc.archive.inputs import InputPhoto
from clc.archive.opened import open_photo
from clc.errors import ImageError
from clc.evaluation.codecs.builtin import Avif
from clc.evaluation.measure.at_psnr import at_psnr
from clc.images.jpeg import jpeg_file, read_jpeg
from clc.images.metadata import Carry
from clc.images.pixel_limit import without_pixel_limit
from clc.images.psnr import psnr

MEASURED = 20
"""Of larger archives, so many photos are measured: both codecs code each some eight times."""

SETTINGS = "Pillow; JPEG 4:4:4 or 4:2:0, whichever takes less, with optimised Huffman tables; AVIF 4:4:4, speed 6"
_AVIF = Avif()


@dataclass(frozen=True)
class Alternatives:
    """Of one photo. psnr: of the archive's picture, in dB.

    jpeg, avif: bytes at that PSNR; None where the codec does not reach it, or cannot code the photo.
    """

    psnr: float
    jpeg: float | None
    avif: float | None

    @property
    def lossless(self) -> bool:
        """Whether the archive has the very pixels; nothing is measured then."""
        return math.isinf(self.psnr)


def chosen(names: Sequence[str], number: int = MEASURED) -> list[str]:
    """So many of the names, evenly spread; all if there are no more.

    >>> chosen(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, min(number, len(names)))]


def alternatives(
    album: Album,
    photos: Iterable[InputPhoto],
    names: Collection[str],
    *,
    max_pixels: int,
    carry: Carry | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> dict[str, Alternatives]:
    """Measure the photos of these names, by name; those whose files are not the ones that were packed are left out.

    photos: the originals. max_pixels, carry: as they were packed. report: called with how many are done.
    Raises SourceError if a source cannot be read, and what reading a photo of the album raises.
    """
    found: dict[str, Alternatives] = {}
    for photo in photos:
        if photo.name not in names or photo.name in found:
            continue
        opened = open_photo(photo, max_pixels=max_pixels, carry=carry)
        if opened.pixels is None or opened.sha256 != album.archive.member(photo.name).original_sha256:
            continue
        decibels = psnr(opened.pixels, album.pixels(photo.name))
        found[photo.name] = _measured(opened.pixels, decibels)
        report(len(found))
    return found


def _measured(photo: NDArray[np.uint8], decibels: float) -> Alternatives:
    if math.isinf(decibels):
        return Alternatives(decibels, None, None)
    return Alternatives(decibels, _jpeg(photo, decibels), _avif(photo, decibels))


def _jpeg(photo: NDArray[np.uint8], decibels: float) -> float | None:
    def code(quality: int, sampling: str) -> tuple[int, float]:
        file = jpeg_file(photo, quality, sampling)
        return len(file), psnr(photo, read_jpeg(file))

    try:
        sizes = [at_psnr(partial(code, sampling=sampling), decibels) for sampling in ("4:2:0", "4:4:4")]
    except ValueError:  # JPEG has no picture of that size
        return None
    return min((size for size in sizes if size is not None), default=None)


def _avif(photo: NDArray[np.uint8], decibels: float) -> float | None:
    def code(quality: int) -> tuple[int, float]:
        file = _AVIF.encode(photo, quality)
        return len(file), psnr(photo, _AVIF.decode(file))

    with suppress(ImageError), without_pixel_limit:
        return at_psnr(code, decibels)
    return None
