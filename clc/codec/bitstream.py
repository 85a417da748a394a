"""The `.clc` bitstream: typed header fields, entry indices, two entropy-coded strings (docs/bitstream.md).

Reading a header needs neither torch nor a model. Everything is checked against its range and against the size of the
stream before anything is allocated from it.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clc.errors import BitstreamError

MAGIC = b"CLC"
FORMAT_VERSIONS = {4: "references by index", 5: "aligned references"}
"""What this release reads. A stream is of the first version that can express it."""
MAX_REFERENCES = 5
MAX_INDEX_BITS = 31
MAX_SIDE = 65_535
QUALITY_STEPS = 100
"""Qualities are stored in steps of 1/QUALITY_STEPS."""
TILE_SIZE = 256
"""Pixels along each side of a tile, which is also the size of a dictionary patch."""
MAX_DISPLACEMENT = 2**20
"""Of the corners of an aligned reference, in steps of 1/16 pixel."""
NO_DICTIONARY = "0" * 16

_FIXED = struct.Struct("<3sBB8s8sHHH")
_CHECKSUMS = struct.Struct("<II")
_WHOLE_IMAGE = 1 << 15  # flag beside the quality
_WORD = 4  # the entropy coder's unit; lengths are stored in words


def tile_count(height: int, width: int) -> int:
    """Number of 256×256 tiles of an image; the last of a row or column may reach beyond it."""
    return math.ceil(height / TILE_SIZE) * math.ceil(width / TILE_SIZE)


class Scope(StrEnum):
    """What references are retrieved for."""

    IMAGE = "image"  # once for the whole image, as in the paper
    TILE = "tile"  # for each 256×256 tile
    ALIGNED = "aligned"  # once for the whole image: whole photos, brought into line with it


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the payload.

    model_id, dictionary_id: short ids (16 hex digits) of the versions needed; a stream without references has
    `references == 0` and the dictionary id `NO_DICTIONARY`.
    """

    model_id: str
    dictionary_id: str
    height: int
    width: int
    quality: float
    references: int
    index_bits: int
    scope: Scope = Scope.TILE

    def __post_init__(self) -> None:
        _check_range("height", self.height, 1, MAX_SIDE)
        _check_range("width", self.width, 1, MAX_SIDE)
        _check_range("quality", self.quality, 1.0, 100.0)
        _check_range("references", self.references, 0, MAX_REFERENCES)
        _check_range("index bits", self.index_bits, 0, MAX_INDEX_BITS)
        if (self.references == 0) != (self.dictionary_id == NO_DICTIONARY):
            raise BitstreamError("a stream names a dictionary exactly if it has references")
        if self.references == 0 and self.index_bits:
            raise BitstreamError("a stream without references has no indices")
        if self.scope is Scope.ALIGNED and self.references == 0:
            raise BitstreamError("a stream has no references to align")
        if self.scope is Scope.IMAGE and (self.references == 0 or self.tiles == 1):
            raise BitstreamError("references of a whole image need references, and more than one tile")

    @property
    def tiles(self) -> int:
        """Number of 256×256 tiles."""
        return tile_count(self.height, self.width)

    @property
    def queries(self) -> int:
        """How many sets of references there are: one a tile, or one for all."""
        return self.tiles if self.scope is Scope.TILE else 1

    @property
    def format_version(self) -> int:
        """That of its stream."""
        return 5 if self.scope is Scope.ALIGNED else 4


@dataclass(frozen=True)
class Bitstream:
    """One coded image.

    entries: int64 [Q, M], dictionary entries of each tile, or of the whole image.
    corners: int32 [M, 4, 2] where references are aligned: what `clc.codec.warp` takes.
    hyper, latent: the entropy-coded ẑ and ŷ_f.
    latent_checksum: CRC-32 of the decoded latent and of the reference latents that were used, so that a decoder that
    has others notices.
    """

    header: Header
    entries: NDArray[np.int64]
    hyper: bytes
    latent: bytes
    latent_checksum: int
    corners: NDArray[np.int32] | None = None

    def to_bytes(self) -> bytes:
        """Serialise."""
        header = self.header
        body = b"".join(
            [
                _FIXED.pack(
                    MAGIC,
                    header.format_version,
                    header.references | header.index_bits << 3,
                    bytes.fromhex(header.model_id),
                    bytes.fromhex(header.dictionary_id),
                    header.height,
                    header.width,
                    round(header.quality * QUALITY_STEPS) | _WHOLE_IMAGE * (header.scope is Scope.IMAGE),
                ),
                _varint(len(self.hyper) // _WORD),
                _varint(len(self.latent) // _WORD),
                b"" if self.corners is None else _pack_corners(self.corners),
                _pack_indices(self.entries, header.index_bits),
                self.hyper,
                self.latent,
            ]
        )
        return body + _CHECKSUMS.pack(self.latent_checksum, zlib.crc32(body + struct.pack("<I", self.latent_checksum)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Bitstream":
        """Parse and check. Raises BitstreamError that says what is wrong."""
        header, corners, sizes = _parse_header(data)
        if len(data) < sizes.total:
            raise BitstreamError(f"stream is truncated: {len(data)} bytes, its header promises {sizes.total}")
        if len(data) > sizes.total:
            raise BitstreamError(f"stream has {len(data) - sizes.total} bytes after its end")
        latent_checksum, checksum = _CHECKSUMS.unpack_from(data, sizes.total - _CHECKSUMS.size)
        if zlib.crc32(data[:-4]) != checksum:
            raise BitstreamError("stream is damaged: its checksum does not match")
        position = sizes.header
        packed = data[position : position + sizes.indices]
        position += sizes.indices
        return cls(
            header=header,
            entries=_unpack_indices(packed, header),
            hyper=data[position : position + sizes.hyper],
            latent=data[position + sizes.hyper : position + sizes.hyper + sizes.latent],
            latent_checksum=latent_checksum,
            corners=corners,
        )


@dataclass(frozen=True)
class SectionSizes:
    """Bytes of each section; `header` includes the lengths and corners, `checksums` closes the stream."""

    header: int
    indices: int
    hyper: int
    latent: int
    checksums: int = _CHECKSUMS.size

    @property
    def total(self) -> int:
        """Bytes of the whole stream."""
        return self.header + self.indices + self.hyper + self.latent + self.checksums


def describe(data: bytes) -> dict[str, object]:
    """What `clc info` prints: fields and section sizes. Raises BitstreamError as `Bitstream.from_bytes` does."""
    header = Bitstream.from_bytes(data).header
    _, _, sizes = _parse_header(data)
    return {
        "format_version": header.format_version,
        "model": header.model_id,
        "dictionary": None if header.references == 0 else header.dictionary_id,
        "height": header.height,
        "width": header.width,
        "quality": header.quality,
        "references": header.references,
        "tiles": header.tiles,
        "scope": header.scope.value,
        "bytes": {
            "total": sizes.total,
            "header": sizes.header,
            "indices": sizes.indices,
            "z": sizes.hyper,
            "y": sizes.latent,
            "checksums": sizes.checksums,
        },
        "bpp": 8 * sizes.total / (header.height * header.width),
    }


def _parse_header(data: bytes) -> tuple[Header, NDArray[np.int32] | None, SectionSizes]:
    if data[: len(MAGIC)] != MAGIC:
        raise BitstreamError("not a .clc stream: it does not begin with 'CLC'")
    if len(data) < _FIXED.size:
        raise BitstreamError(f"stream is truncated inside its header ({len(data)} bytes)")
    _, version, packing, model_id, dictionary_id, height, width, quality = _FIXED.unpack_from(data)
    if version not in FORMAT_VERSIONS:
        known = " and ".join(map(str, FORMAT_VERSIONS))
        raise BitstreamError(f"format version {version} is not supported; this release reads versions {known}")
    whole_image = bool(quality & _WHOLE_IMAGE)
    aligned = version == 5
    if aligned and whole_image:
        raise BitstreamError("references are either aligned or indices for the whole image, not both")
    header = Header(
        model_id=model_id.hex(),
        dictionary_id=dictionary_id.hex(),
        height=height,
        width=width,
        quality=(quality & ~_WHOLE_IMAGE) / QUALITY_STEPS,
        references=packing & 7,
        index_bits=packing >> 3,
        scope=Scope.ALIGNED if aligned else Scope.IMAGE if whole_image else Scope.TILE,
    )
    hyper_words, position = _read_varint(data, _FIXED.size)
    latent_words, position = _read_varint(data, position)
    corners = None
    if aligned:
        corners, position = _read_corners(data, position, header.references)
    index_bits = header.queries * header.references * header.index_bits
    return header, corners, SectionSizes(position, math.ceil(index_bits / 8), hyper_words * _WORD, latent_words * _WORD)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BitstreamError(f"{name} is {value:,}, outside {low:,} to {high:,}")


def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, least significant first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            raise BitstreamError("stream is truncated inside its header")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if byte == 0 and shift > 0:
                raise BitstreamError("a number in the header is longer than it need be")
            return value, position
    raise BitstreamError("a length in the header has more than five bytes")


def _pack_corners(corners: NDArray[np.int32]) -> bytes:
    """Zigzag: the sign becomes the lowest bit, so that what is near zero is short."""
    return b"".join(_varint(value << 1 ^ value >> 31) for value in corners.ravel().tolist())


def _read_corners(data: bytes, position: int, references: int) -> tuple[NDArray[np.int32], int]:
    """int32 [references, 4, 2], and where they end."""
    values = []
    for _ in range(references * 8):
        coded, position = _read_varint(data, position)
        value = coded >> 1 ^ -(coded & 1)
        _check_range("a corner's displacement", value, -MAX_DISPLACEMENT, MAX_DISPLACEMENT)
        values.append(value)
    return np.array(values, dtype=np.int32).reshape(references, 4, 2), position


def _pack_indices(entries: NDArray[np.int64], bits: int) -> bytes:
    """Most significant bit first, without gaps, zero-padded to a whole byte."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits((entries.reshape(-1, 1) >> shifts & 1).astype(np.uint8)).tobytes()


def _unpack_indices(packed: bytes, header: Header) -> NDArray[np.int64]:
    count = header.queries * header.references
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    flat, padding = np.split(bits, [count * header.index_bits])
    if padding.any():
        raise BitstreamError("the bits after the last entry index are not zero")
    weights = 1 << np.arange(header.index_bits - 1, -1, -1, dtype=np.int64)
    values = flat.reshape(count, header.index_bits).astype(np.int64) @ weights
    return values.reshape(header.queries, header.references)
