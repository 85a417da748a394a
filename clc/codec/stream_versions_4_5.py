"""Streams of format versions 4 and 5, which earlier releases wrote: read, never written (docs/bitstream.md).

Their fields are the same as those of version 6. Where the scale level is 0 they hold no symbol at all.
"""

import struct
import zlib
from dataclasses import dataclass

from clc.codec.bitstream import CHECKSUMS, Bitstream
from clc.codec.packing import read_corners, read_number, unpack_indices
from clc.codec.stream_header import Header, Scope
from clc.errors import BitstreamError
from clc.model.limits import QUALITY_STEPS

_FIXED = struct.Struct("<3sBB8s8sHHH")
_WHOLE_IMAGE = 1 << 15  # flag in the field of the quality: one set of references for the image
_WORD = 4  # lengths are stored in words of the entropy coder


@dataclass(frozen=True)
class OlderStream:
    """A stream with the bytes of its parts."""

    stream: Bitstream
    sizes: dict[str, int]


def parse_older(data: bytes) -> OlderStream:
    """Parse and check a stream of version 4 or 5. Raises BitstreamError that says what is wrong."""
    if len(data) < _FIXED.size:
        raise BitstreamError(f"stream is truncated inside its header ({len(data)} bytes)")
    _, version, packing, model_id, dictionary_id, height, width, quality = _FIXED.unpack_from(data)
    whole_image, aligned = bool(quality & _WHOLE_IMAGE), version == 5
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
        format_version=version,
    )
    hyper_words, position = read_number(data, _FIXED.size)
    latent_words, position = read_number(data, position)
    corners = None
    corners_at = position
    if aligned:
        corners, position = read_corners(data, position, header.references)
    sizes = {
        "header": corners_at,
        "references": header.index_bytes,
        "corners": position - corners_at,
        "z": hyper_words * _WORD,
        "y": latent_words * _WORD,
        "blocks": 0,
        "picture": 0,
        "checksums": CHECKSUMS.size,
    }
    total = sum(sizes.values())
    if len(data) < total:
        raise BitstreamError(f"stream is truncated: {len(data)} bytes, its header promises {total}")
    if len(data) > total:
        raise BitstreamError(f"stream has {len(data) - total} bytes after its end")
    latent_checksum, checksum = CHECKSUMS.unpack_from(data, total - CHECKSUMS.size)
    if zlib.crc32(data[:-4]) != checksum:
        raise BitstreamError("stream is damaged: its checksum does not match")
    hyper_at = position + sizes["references"]
    latent_at = hyper_at + sizes["z"]
    indices = data[position:hyper_at]
    stream = Bitstream(
        header=header,
        entries=unpack_indices(indices, header.queries, header.references, header.index_bits),
        hyper=data[hyper_at:latent_at],
        latent=data[latent_at : latent_at + sizes["y"]],
        latent_checksum=latent_checksum,
        corners=corners,
    )
    return OlderStream(stream, sizes)
