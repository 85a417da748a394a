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
from clc.images.patch import pixels_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPhoto:
    """One decoded photo: `pixels` is uint8 [H, W, 3] on the device that trains."""

    image_id: str
    sha256: str
    pixels: Tensor


def decode_photos(source: PhotoSource, device: torch.device) -> list[TrainingPhoto]:
    """Decode every photo of `source` that can be decoded.

    On a GPU they stay in its memory. On a CPU they lie in a nameless temporary file that is mapped into memory, so that
    a collection may be larger than memory; TMPDIR says where.
    Raises SourceError if the source cannot be read, TrainingError if the temporary file cannot be written.
    """
    skipped: list[SkippedPhoto] = []
    names: list[tuple[str, str, tuple[int, ...]]] = []
    on_device: list[Tensor] = []
    try:
        with tempfile.TemporaryFile(prefix="clc-photos-") as file:
            for photo in read_photos(source, skipped):
                pixels = np.ascontiguousarray(photo.pixels)
                names.append((photo.image_id, pixels_sha256(pixels), pixels.shape))
                if device.type == "cpu":
                    file.write(pixels.data)
                else:
                    on_device.append(torch.from_numpy(pixels).to(device))
            if device.type == "cpu":
                on_device = _mapped(file, [shape for _, _, shape in names])
    except OSError as error:
        raise TrainingError(
            f"the decoded photos cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "set TMPDIR to a folder with more space"
        ) from error
    photos = [TrainingPhoto(id, sha256, pixels) for (id, sha256, _), pixels in zip(names, on_device, strict=True)]
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
