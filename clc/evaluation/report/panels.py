"""The pictures of a report: a photo, the dictionary patches that were used for it, and what each codec makes of it."""

import logging
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.references.lookup import stated_alignment
from clc.errors import CorruptArtifactError, MissingArtifactError
from clc.evaluation.codecs.builtin import Clc, Encoder, ImageCodec, encoder
from clc.evaluation.measure.metrics import bits_per_pixel
from clc.evaluation.report.reference_share import trust_map
from clc.evaluation.results import PanelRow
from clc.images import Photo
from clc.images.patch import encode_patch
from clc.images.psnr import psnr
from clc.model.tiles import TILE_SIZE

logger = logging.getLogger(__name__)

DISPLAY_WIDTH = 768
"""Pictures wider than this are scaled down to it, for display only: numbers are measured on the whole image."""
_DISPLAY_HEIGHT = 4096  # twice that still fits into a WebP file

PatchOf = Callable[[int], NDArray[np.uint8]]
"""Dictionary entry → its patch, uint8 [256, 256, 3]."""


def panel_rows(
    photo: Photo, codecs: Sequence[ImageCodec], quality: float, bpp: float | None = None, *, patch_of: PatchOf
) -> list[PanelRow]:
    """One row for each codec, CLC first.

    CLC is shown at `quality`, or at the whole one that comes nearest to `bpp` bits per pixel; every other codec at the
    whole quality, within the range it is measured at, whose file is nearest in size to that of the first CLC codec, so
    that the eye compares pictures of equal bytes. Without a CLC codec there is no row. Raises ClcError if a codec
    cannot code the photo.
    """
    ours = [codec for codec in codecs if isinstance(codec, Clc)]
    others = [codec for codec in codecs if not isinstance(codec, Clc)]
    if not ours:
        return []
    first, *more = ours
    encode = cache(encoder(first, photo.pixels))  # what it analyses is analysed once
    if bpp is not None:
        quality = quality_of_size(first, encode, max(1, round(bpp * photo.pixels[..., 0].size / 8)))
    file = encode(quality)
    rows = [_panel_row(photo, first, quality, file, patch_of)]
    rows += [_panel_row(photo, codec, quality, codec.encode(photo.pixels, quality), patch_of) for codec in more]
    for codec in others:
        encode = cache(encoder(codec, photo.pixels))
        nearest = quality_of_size(codec, encode, len(file))
        rows.append(_panel_row(photo, codec, nearest, encode(nearest), patch_of))
    return rows


def quality_of_size(codec: ImageCodec, encode: Encoder, size: int) -> float:
    """The whole quality, within those the codec is measured at, whose file is nearest to `size` bytes.

    encode: the `encoder` of this codec and an image.
    """
    low, high = math.floor(codec.qualities[0]), math.floor(codec.qualities[-1])
    sizes = {quality: len(encode(quality)) for quality in (low, high)}
    while high - low > 1:
        middle = (low + high) // 2
        sizes[middle] = len(encode(middle))
        low, high = (middle, high) if sizes[middle] <= size else (low, middle)
    return float(min(sizes, key=lambda quality: abs(math.log(sizes[quality] / size))))


def _panel_row(photo: Photo, codec: ImageCodec, quality: float, data: bytes, patch_of: PatchOf) -> PanelRow:
    decoded = codec.decode(data)
    return PanelRow(
        image_id=photo.image_id,
        codec=codec.name,
        quality=quality,
        bpp=bits_per_pixel(len(data), *photo.pixels.shape[:2]),
        psnr=psnr(photo.pixels, decoded),
        original=encode_patch(display(photo.pixels)),
        reconstruction=encode_patch(display(decoded)),
        references=_references_of(codec.codec, data, patch_of) if isinstance(codec, Clc) else None,
        trust=_trust_in(codec, data, display(photo.pixels)) if isinstance(codec, Clc) else None,
        referred=Bitstream.from_bytes(data).header.references > 0 if isinstance(codec, Clc) else None,
    )


def display(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] at most `DISPLAY_WIDTH` pixels wide, and no higher than can be shown."""
    height, width = image.shape[:2]
    scale = min(DISPLAY_WIDTH / width, _DISPLAY_HEIGHT / height)
    return image if scale >= 1 else _resized(image, max(1, round(height * scale)), max(1, round(width * scale)))


def reference_sheet(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What an image was coded with, best first: pictures as large as the image.

    The best is shown like the image; below it, side by side and smaller, lie the others.
    """
    nearest, *others = map(display, pictures)
    shown_width = nearest.shape[1]
    others = others[:shown_width]  # a picture this narrow has no room for more
    if not others:
        return nearest
    edges = np.linspace(0, shown_width, len(others) + 1).round().astype(int)
    row_height = max(1, round(nearest.shape[0] / len(others)))
    row = [_resized(picture, row_height, int(w)) for picture, w in zip(others, np.diff(edges), strict=True)]
    return np.concatenate([nearest, np.concatenate(row, axis=1)])


def mosaics(entries: NDArray[np.int64], height: int, width: int, patch_of: PatchOf) -> list[NDArray[np.uint8]]:
    """The patches of entries [T, M] where their tiles lie in an image of height × width pixels: M pictures, the
    nearest patches of all tiles first.
    """
    return [_mosaic(ranked, height, width, patch_of) for ranked in entries.T]


def _references_of(codec: Codec, data: bytes, patch_of: PatchOf) -> bytes | None:
    """The pictures of a stream's references; None without any, and for a dictionary whose pictures are not here."""
    stream = Bitstream.from_bytes(data)
    header = stream.header
    if header.references == 0:
        return None
    alignment = stated_alignment(stream)
    if alignment is not None:
        return encode_patch(reference_sheet(codec.lookup.pictures(alignment, header.height, header.width)))
    entries = np.broadcast_to(stream.entries, (header.tiles, header.references))
    try:
        return encode_patch(reference_sheet(mosaics(entries, header.height, header.width, patch_of)))
    except (CorruptArtifactError, MissingArtifactError) as error:
        logger.warning("stage=evaluate references are not shown: %s", error)
        return None


def _trust_in(codec: Clc, data: bytes, shown: NDArray[np.uint8]) -> bytes | None:
    """The trust map of a stream, as large as the picture `shown`."""
    trust = trust_map(codec.codec, data)
    if trust is None:
        return None
    height, width = shown.shape[:2]
    levels = (trust.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    return encode_patch(_resized(np.repeat(levels[:, :, None], 3, axis=2), height, width))


def _mosaic(entries: NDArray[np.int64], height: int, width: int, patch_of: PatchOf) -> NDArray[np.uint8]:
    """One patch for each tile, cropped like the image."""
    columns = math.ceil(width / TILE_SIZE)
    rows = [
        np.concatenate([patch_of(int(entry)) for entry in entries[start : start + columns]], axis=1)
        for start in range(0, len(entries), columns)
    ]
    return np.concatenate(rows)[:height, :width]


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((max(1, width), max(1, height)), Image.Resampling.LANCZOS))
