"""Whether a JPEG file holds its whole picture.

libjpeg fills what is missing with grey and only warns, and Pillow passes no warning on. simplejpeg does; it decodes at
an eighth of the size here, which takes little more than reading the Huffman codes. libjpeg does not even warn of a file
that ends after some of its scans; those are looked up in the scans' headers (ITU-T T.81, B.2.3). Nor does it warn of
arithmetic coding that ends early, where zeros may follow for ever (D.1.8): such files are refused.
"""

import io
import re
import struct
from collections.abc import Iterator
from itertools import takewhile

from PIL import Image

from clc.errors import ImageError
from clc.images.pixel_limit import without_pixel_limit

_START, _END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN, _END_OF_IMAGE, _PROFILE_SEGMENT = 0xDA, 0xD9, 0xE2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_COEFFICIENTS = 64
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_TRAILING = re.compile(r"\d+ extraneous bytes before marker 0xd9")
_UNUSUAL = "Could not determine subsampling"
_TARGETS = {1: "GRAY", 4: "CMYK"}
_BAD_PROFILE = "bad ICC marker"
_CUT = "Premature end of JPEG file"


class DamagedJpegError(Exception):
    """A JPEG file lacks part of its picture, or some of it cannot be read."""


class UncheckedJpegError(Exception):
    """A JPEG file is of a kind of which nobody can tell whether it is whole."""


def without_damage(data: bytes) -> tuple[bytes, str | None]:
    """A JPEG file that a decoder reads without a warning, and what is remarkable about it.

    Of a file that lacks nothing but the marker at its end, the file with the marker.
    Raises DamagedJpegError if part of the picture is missing or cannot be read, UncheckedJpegError if that cannot be
    told.
    """
    if any(marker in _ARITHMETIC for marker, *_ in head_segments(data)):
        raise UncheckedJpegError("arithmetic coding")
    found, remark = _complaint(data), None
    if found is not None and _CUT in found:
        data, remark = data + _END, "the JPEG file lacks its end marker"
        found = _complaint(data)
    if found is not None and _TRAILING.search(found):
        # Some cameras pad the scan with zeros. Anything else there is data that the decoder lost its place in.
        end = segments(data)[-1][2]
        found = _complaint(data[:end].rstrip(b"\0") + _END)
    if found is None:
        try:
            found = _missing_scans(data)
        except (IndexError, struct.error):
            found = "its headers are damaged"
    if found is not None:
        raise DamagedJpegError(found)
    return data, remark


def _complaint(data: bytes) -> str | None:
    """libjpeg's first warning or error."""
    try:
        import simplejpeg
    except ImportError as error:
        raise ImageError("JPEG files cannot be checked for damage; run: pip install simplejpeg") from error
    target = _TARGETS.get(_components(data), "RGB")
    try:
        simplejpeg.decode_jpeg(data, target, fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=1)
    except ValueError as error:
        if _BAD_PROFILE in str(error):  # no part of the picture; who reads it finds out
            return _complaint(_without_profile(data))
        return _cut_short(data) if _UNUSUAL in str(error) else str(error)
    return None


def _without_profile(data: bytes) -> bytes:
    for marker, content, start in reversed(segments(data)):
        if marker == _PROFILE_SEGMENT and content.startswith(b"ICC_PROFILE\0"):
            data = data[:start] + data[data.index(content, start) + len(content) :]
    return data


def _components(data: bytes) -> int:
    return next((content[5] for marker, content, _ in head_segments(data) if marker in _FRAMES and len(content) > 5), 0)


def _cut_short(data: bytes) -> str | None:
    """Whether a file ends early whose colours are sampled as simplejpeg does not read.

    Pillow says so where a file lacks its end marker, and fills nothing. The few bytes in its place, which no Huffman
    code begins with, let it look ahead.
    """
    if any(marker in _PROGRESSIVE for marker, *_ in segments(data)):
        raise UncheckedJpegError("progressive, with unusual sampling of its colours")
    picture = data[: segments(data)[-1][2]]
    try:
        with without_pixel_limit, Image.open(io.BytesIO(picture + b"\xff\x00" * 8), formats=["JPEG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None


def _missing_scans(data: bytes) -> str | None:
    """What no scan of the file brings; None if its scans bring all coefficients to their full precision."""
    progressive = False
    # The lowest bit of each coefficient of each component that is there; None where nothing is.
    lowest: dict[int, list[int | None]] = {}
    for marker, content, _ in segments(data):
        if marker in _FRAMES:
            progressive = marker in _PROGRESSIVE
            lowest = {content[6 + 3 * i]: [None] * _COEFFICIENTS for i in range(content[5])}
        elif marker == _START_OF_SCAN:
            count = content[0]
            first, last, precision = content[1 + 2 * count : 4 + 2 * count]
            if not progressive:
                first, last, precision = 0, _COEFFICIENTS - 1, 0
            for index in range(count):
                bits = lowest.get(content[1 + 2 * index], [])
                bits[first : last + 1] = [precision & 15] * len(bits[first : last + 1])
    if any(bit is None for bits in lowest.values() for bit in bits):
        return "some of its scans are missing"
    if any(bits != [0] * _COEFFICIENTS for bits in lowest.values()):
        return "its last scans are missing"
    return None


def segments(data: bytes) -> list[tuple[int, bytes, int]]:
    """The marker segments of the first picture, their contents, and where they begin; coded data is passed over.

    The last one is the end marker, or what there is instead of it: marker 0 at the end of the data.
    """
    return [*_walk(data)]


def head_segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Those before the first scan, which are found without going through what is coded."""
    return takewhile(lambda segment: segment[0] != _START_OF_SCAN, _walk(data))


def _walk(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    position = len(_START)
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            yield marker, b"", found.start()
            return
        if marker in _WITHOUT_LENGTH or position + 2 > len(data):
            continue
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, data[position + 2 : position + length], found.start()
        position += length
    yield 0, b"", len(data)
