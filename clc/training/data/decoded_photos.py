"""The photos of a training run: decoded once, then cropped from memory."""

import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import torch
from torch import Tensor

from clc.errors import TrainingError
from clc.images import PhotoSource, SkippedPhoto, read_photos
from clc.images.hashes import perceptual_hash
from clc.images.patch import pixels_sha256
from clc.images.provenance import PhotoIdentity

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPhoto:
    """One decoded photo: `pixels` is uint8 [H, W, 3]."""

    identity: PhotoIdentity
    pixels: Tensor

    @property
    def image_id(self) -> str:
        """What its source calls it."""
        return self.identity.image_id

    @property
    def sha256(self) -> str:
        """`pixels_sha256`."""
        return self.identity.photo_sha256


def decode_photos(source: PhotoSource) -> list[TrainingPhoto]:
    """Decode every photo of `source` that can be decoded.

    They lie in a nameless temporary file that is mapped into memory, so that a collection may be larger than memory and
    the processes that draw crops share it; TMPDIR says where.
    Raises SourceError if the source cannot be read, TrainingError if the temporary file cannot be written.
    """
    skipped: list[SkippedPhoto] = []
    identities: list[PhotoIdentity] = []
    shapes: list[tuple[int, ...]] = []
    try:
        with tempfile.TemporaryFile(prefix="clc-photos-") as file:
            for photo in read_photos(source, skipped):
                pixels = np.ascontiguousarray(photo.pixels)
                identities.append(PhotoIdentity(photo.image_id, pixels_sha256(pixels), perceptual_hash(pixels)))
                shapes.append(pixels.shape)
                file.write(pixels.data)
            mapped = _mapped(file, shapes)
    except OSError as error:
        raise TrainingError(
            f"the decoded photos cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "set TMPDIR to a folder with more space"
        ) from error
    photos = [TrainingPhoto(*pair) for pair in zip(identities, mapped, strict=True)]
    logger.info("stage=train photos=%d skipped=%d source=%s", len(photos), len(skipped), source.spec)
    return photos


def _mapped(file: IO[bytes], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Views of the file's content, one after the other."""
    if not shapes:
        return []
    file.flush()
    content = torch.from_numpy(np.memmap(file, np.uint8, mode="r+"))
    pieces = content.split([math.prod(shape) for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
