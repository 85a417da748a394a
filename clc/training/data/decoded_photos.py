"""The photos of a training run: decoded once, then cropped from memory."""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import IO, Any

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


class DecodedPhotos(list[TrainingPhoto]):
    """Photos that lie one after the other in a file, which is mapped into memory.

    A process that they are sent to when it starts gets the open file, not the pixels.
    """

    def __init__(self, identities: Sequence[PhotoIdentity], shapes: Sequence[tuple[int, ...]], file: IO[bytes]) -> None:
        super().__init__(TrainingPhoto(*pair) for pair in zip(identities, _mapped(file, shapes), strict=True))
        self._parts = identities, shapes
        self._file = file

    def __reduce__(self) -> tuple[Callable[..., "DecodedPhotos"], tuple[Any, ...]]:
        return _received, (*self._parts, DupFd(self._file.fileno()))


def decode_photos(source: PhotoSource) -> DecodedPhotos:
    """Decode every photo of `source` that can be decoded.

    They lie in a nameless temporary file, so that a collection may be larger than memory and the processes that draw
    crops share it; TMPDIR says where.
    Raises SourceError if the source cannot be read, TrainingError if the temporary file cannot be written.
    """
    skipped: list[SkippedPhoto] = []
    identities: list[PhotoIdentity] = []
    shapes: list[tuple[int, ...]] = []
    try:
        file = tempfile.TemporaryFile(prefix="clc-photos-")  # noqa: SIM115  (as long as the photos are)
        for photo in read_photos(source, skipped):
            pixels = np.ascontiguousarray(photo.pixels)
            identities.append(PhotoIdentity(photo.image_id, pixels_sha256(pixels), perceptual_hash(pixels)))
            shapes.append(pixels.shape)
            file.write(pixels.data)
        file.flush()
        photos = DecodedPhotos(identities, shapes, file)
    except OSError as error:
        raise TrainingError(
            f"the decoded photos cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "set TMPDIR to a folder with more space"
        ) from error
    logger.info("stage=train photos=%d skipped=%d source=%s", len(photos), len(skipped), source.spec)
    return photos


def _received(identities: Sequence[PhotoIdentity], shapes: Sequence[tuple[int, ...]], sent: Any) -> DecodedPhotos:
    return DecodedPhotos(identities, shapes, os.fdopen(sent.detach(), "r+b"))


def _mapped(file: IO[bytes], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Views of the file's content, one after the other."""
    if not shapes:
        return []
    content = torch.from_numpy(np.memmap(file, np.uint8, mode="r+"))
    pieces = content.split([math.prod(shape) for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
