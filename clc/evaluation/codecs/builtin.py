"""The codecs that are compared, behind one protocol: CLC with and without references, and JPEG, WebP, AVIF by Pillow.

Those that are programs of their own are in `clc.evaluation.codecs.programs`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.codec.codec import Codec
from clc.errors import ImageError
from clc.evaluation.codecs.online import Online, OnlineEncoder
from clc.images.jpeg import jpeg_file

CLC_QUALITIES = (1.0, 20.0, 40.0, 60.0, 80.0, 100.0)
JPEG_QUALITIES = (5, 10, 20, 35, 50, 65, 80, 90)
WEBP_QUALITIES = (1, 10, 25, 45, 65, 80, 90)
AVIF_QUALITIES = (10, 20, 30, 40, 50, 60, 70)


class ImageCodec(Protocol):
    """A codec under measurement, with the qualities that it is measured at."""

    @property
    def name(self) -> str:
        """What tables and legends call it."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """In the codec's own unit, ascending."""

    @property
    def settings(self) -> str:
        """Which encoder it is and how it is set, for people."""

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """uint8 [H, W, 3] → a whole file. Raises ClcError if the codec cannot code this image."""

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """A whole file → uint8 [H, W, 3]. Raises ClcError if it cannot be decoded."""


Encoder = Callable[[float], bytes]
"""Quality → a whole file of one image."""


def encoder(codec: ImageCodec, image: NDArray[np.uint8]) -> Encoder:
    """An encoder of one image at any quality. What all qualities share is computed once.

    Raises ClcError if the codec cannot code this image.
    """
    return codec.prepared(image) if isinstance(codec, Clc) else partial(codec.encode, image)


OURS = ("clc", "clc, no references")
"""The names of our codec, with references and without; with effort, that follows."""
_EFFORT = ", effort "


def without_effort(name: str) -> str | None:
    """The one of `OURS` that a codec's name is one with effort of; None for any other name."""
    usual, separator, _ = name.partition(_EFFORT)
    return usual if separator and usual in OURS else None


@dataclass(frozen=True)
class Clc:
    """Our codec. A stream with references names its dictionary and carries its indices: both are in the file size.

    always: use references even where they do not pay. effort: 0 to 9, how long it searches.
    online: search in this way, at this effort, and do not name it. post: decode with post-processing.
    """

    codec: Codec
    references: bool = True
    qualities: tuple[float, ...] = CLC_QUALITIES
    always: bool = False
    effort: int = 0
    settings: str = "header and indices included"
    online: tuple[Online, int] | None = None
    post: bool = False

    @property
    def name(self) -> str:
        """`clc`, or `clc, no references`; with effort, `clc, effort 6`."""
        return OURS[0 if self.references else 1] + (f"{_EFFORT}{self.effort}" if self.effort else "")

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """uint8 [H, W, 3] → a stream, retrieval included. Raises what `Codec.compress` raises."""
        return self.prepared(image)(quality)

    def prepared(self, image: NDArray[np.uint8]) -> Encoder:
        """`encode`, with analysis and retrieval done once. Raises what `Encoder.analyse` raises."""
        if self._online_encoder is not None:
            return self._online_encoder.prepared(image)
        analysis = self.codec.encoder.analyse(image, references=self.references)
        code = self.codec.encoder.code
        return lambda quality: code(analysis, quality, always=self.always, effort=self.effort).data

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """A stream → uint8 [H, W, 3]. Raises what `Codec.decompress` raises."""
        return self.codec.decompress(data, post=self.post)

    @cached_property
    def _online_encoder(self) -> OnlineEncoder | None:
        return None if self.online is None else OnlineEncoder(self.codec, *self.online)


@dataclass(frozen=True)
class Jpeg:
    """Baseline JPEG by Pillow: optimised Huffman tables, chroma 4:2:0, no metadata.

    >>> Jpeg().decode(Jpeg().encode(np.zeros((24, 40, 3), np.uint8), 50)).shape
    (24, 40, 3)
    """

    qualities: tuple[float, ...] = JPEG_QUALITIES
    name: str = "JPEG"
    settings: str = "Pillow, 4:2:0, optimised Huffman tables"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """uint8 [H, W, 3] → a JPEG file. Raises ImageError for sides beyond 65,500 pixels."""
        try:
            return jpeg_file(image, round(quality))
        except ValueError as error:
            raise ImageError(str(error)) from error

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """A file → uint8 [H, W, 3]. Raises ImageError for a damaged file."""
        return _pillow_decode(data, "JPEG")


@dataclass(frozen=True)
class WebP:
    """Lossy WebP by Pillow: the slowest, best method (6), chroma 4:2:0 as the format prescribes, no metadata."""

    qualities: tuple[float, ...] = WEBP_QUALITIES
    name: str = "WebP"
    settings: str = "Pillow, method 6, 4:2:0"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """uint8 [H, W, 3] → a WebP file. Raises ImageError for sides beyond 16,383 pixels."""
        return _pillow_encode(image, "WEBP", quality=round(quality), method=6)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """A file → uint8 [H, W, 3]. Raises ImageError for a damaged file."""
        return _pillow_decode(data, "WEBP")


@dataclass(frozen=True)
class Avif:
    """AVIF by Pillow (libavif with libaom, speed 6), chroma 4:4:4, no metadata."""

    qualities: tuple[float, ...] = AVIF_QUALITIES
    name: str = "AVIF"
    settings: str = "Pillow (libaom), speed 6, 4:4:4"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """uint8 [H, W, 3] → an AVIF file. Raises ImageError for an image that the encoder refuses."""
        return _pillow_encode(image, "AVIF", quality=round(quality), speed=6, subsampling="4:4:4")

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """A file → uint8 [H, W, 3]. Raises ImageError for a damaged file."""
        return _pillow_decode(data, "AVIF")


def _pillow_encode(image: NDArray[np.uint8], file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(image).save(buffer, file_format, **options)
    except (KeyError, OSError, ValueError, RuntimeError, MemoryError) as error:
        # KeyError: this Pillow does not have the format; RuntimeError: AVIF's encoder refuses.
        height, width = image.shape[:2]
        raise ImageError(f"{file_format} cannot code this image of {width}×{height} pixels: {error}") from error
    return buffer.getvalue()


def _pillow_decode(data: bytes, file_format: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=[file_format]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise ImageError(f"{file_format} cannot be decoded: {error}") from error
