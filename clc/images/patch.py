"""How patches are kept in Parquet: lossless WebP beside the SHA-256 of their pixels.

The pixels are the identity; the encoded bytes may differ between versions of the WebP library.
"""

import hashlib
import io
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from clc.errors import CorruptArtifactError, MissingArtifactError


def pixels_sha256(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 (hex) of uint8 [H, W, 3]: its height and width as little-endian 32-bit integers, then its bytes."""
    digest = hashlib.sha256(np.array(pixels.shape[:2], dtype="<u4").tobytes())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def encode_patch(pixels: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W, 3] → lossless WebP."""
    buffer = io.BytesIO()
    # Effort 0 is eight times faster than PNG and a sixth smaller; more effort gains little on photo crops.
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue()


def decode_patch(data: bytes) -> NDArray[np.uint8]:
    """Lossless WebP → uint8 [H, W, 3]. Raises CorruptArtifactError if the bytes are not a whole image."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"a stored patch cannot be decoded ({error}); verify the artifact") from error


def decode_patches(column: Iterable[pa.BinaryScalar]) -> NDArray[np.uint8]:
    """A column of encoded patches of one size → uint8 [n, H, W, 3].

    Raises MissingArtifactError for one that was left out where the version was copied.
    """
    column = list(column)
    if not all(data.is_valid for data in column):
        raise MissingArtifactError(
            "this dictionary is here without its patches, which training takes; use a store that it was built in, or "
            "one that `clc references export --with-build-inputs` was imported into"
        )
    return np.stack([decode_patch(data.as_py()) for data in column])
