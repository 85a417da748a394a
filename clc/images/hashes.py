"""Perceptual hashes: the same photo, encoded again or scaled, gives nearly the same bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 64  # pixels that a photo is reduced to
_FREQUENCIES = 16  # kept along each axis
HASH_BYTES = _FREQUENCIES**2 // 8
NEAR_DUPLICATE_BITS = 20
"""Photos whose hashes differ in no more bits than this, of 256, are taken for the same one."""

_DCT = np.cos(np.pi / _SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(_SIDE) + 0.5))


def perceptual_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Which of the lowest 16×16 DCT frequencies of the luma of uint8 [H, W, 3] are above their median: 32 bytes.

    After Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), with four times the bits.
    """
    luma = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    spectrum = _DCT @ np.asarray(luma, dtype=np.float64) @ _DCT.T
    return np.packbits(spectrum > np.median(spectrum)).tobytes()


def differing_bits(hashes: list[bytes], others: list[bytes]) -> NDArray[np.int64]:
    """In how many bits each of n hashes differs from each of m others: [n, m]."""
    a, b = (_signs(each) for each in (hashes, others))
    return np.rint((8 * HASH_BYTES - a @ b.T) / 2).astype(np.int64)


def _signs(hashes: list[bytes]) -> NDArray[np.float32]:
    """±1 for each bit, [n, 256]: a product of two rows is their agreements less their differences."""
    packed = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1
