"""Numbers in bytes, as `.clc` streams of every version hold them: lengths, corners and entry indices."""

import numpy as np
from numpy.typing import NDArray

from clc.errors import BitstreamError

MAX_DISPLACEMENT = 2**20
"""Of the corners of an aligned reference, in steps of 1/16 pixel."""

_LONGEST_NUMBER = 35  # bits


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raises BitstreamError unless low ≤ value ≤ high."""
    if not low <= value <= high:
        raise BitstreamError(f"{name} is {value:,}, outside {low:,} to {high:,}")


def pack_number(value: int) -> bytes:
    """LEB128: seven bits a byte, least significant first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_number(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends. Raises BitstreamError for one that is cut or longer than need be."""
    value = 0
    for shift in range(0, _LONGEST_NUMBER, 7):
        if position >= len(data):
            raise BitstreamError("stream is truncated inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if byte == 0 and shift > 0:
                raise BitstreamError("a number in the stream is longer than it need be")
            return value, position
    raise BitstreamError("a number in the stream has more than five bytes")


def pack_signed(value: int) -> bytes:
    """Zigzag: the sign becomes the lowest bit, so that what is near zero is short."""
    return pack_number(value << 1 ^ value >> 31)


def read_signed(data: bytes, position: int) -> tuple[int, int]:
    """As `read_number`, of what `pack_signed` wrote."""
    coded, position = read_number(data, position)
    return coded >> 1 ^ -(coded & 1), position


def pack_corners(corners: NDArray[np.int32]) -> bytes:
    """One after the other."""
    return b"".join(map(pack_signed, corners.ravel().tolist()))


def read_corners(data: bytes, position: int, references: int) -> tuple[NDArray[np.int32], int]:
    """int32 [references, 4, 2], and where they end. Raises BitstreamError for displacements out of range."""
    values = []
    for _ in range(references * 8):
        value, position = read_signed(data, position)
        check_range("a corner's displacement", value, -MAX_DISPLACEMENT, MAX_DISPLACEMENT)
        values.append(value)
    return np.array(values, dtype=np.int32).reshape(references, 4, 2), position


def pack_indices(entries: NDArray[np.int64], bits: int) -> bytes:
    """Most significant bit first, without gaps, zero-padded to a whole byte."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits((entries.reshape(-1, 1) >> shifts & 1).astype(np.uint8)).tobytes()


def unpack_indices(packed: bytes, queries: int, references: int, bits: int) -> NDArray[np.int64]:
    """int64 [queries, references]. Raises BitstreamError if what pads the last byte is not zero."""
    count = queries * references
    flat, padding = np.split(np.unpackbits(np.frombuffer(packed, np.uint8)), [count * bits])
    if padding.any():
        raise BitstreamError("the bits after the last entry index are not zero")
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
    values: NDArray[np.int64] = flat.reshape(count, bits).astype(np.int64) @ weights
    return values.reshape(queries, references)
