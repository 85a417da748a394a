"""What a JPEG 2000 file says of its samples and colours that Pillow does not pass on (ISO/IEC 15444-1 and -2)."""

from collections.abc import Iterable

_CODESTREAM_SIZE = b"\xff\x4f\xff\x51"  # how a codestream begins
_COUNT, _FIRST, _STEP = 40, 42, 3  # of its components, from there on
_SIGNED = 0x80
_ENUMERATED, _PROFILES = 1, (2, 3)
_KNOWN_SPACES = (12, 16, 17, 18)  # CMYK, sRGB, grey and sYCC, as OpenJPEG and Pillow read them


def component_bits(data: bytes) -> list[tuple[int, bool]]:
    """Bits of a sample and whether it is signed, for each component; nothing of another file."""
    start = data.find(_CODESTREAM_SIZE)
    if start < 0:
        return []
    count = int.from_bytes(data[start + _COUNT : start + _FIRST], "big")
    depths = data[start + _FIRST : start + _FIRST + _STEP * count : _STEP]
    return [((depth & 0x7F) + 1, bool(depth & _SIGNED)) for depth in depths]


def stated_colours(boxes: Iterable[bytes]) -> tuple[bytes | None, int | None]:
    """The ICC profile that the colour boxes hold, or the number of a space that is not known; the first that says
    something else counts.
    """
    unknown = None
    for box in boxes:
        if box[0] in _PROFILES:
            return box[3:], None
        if box[0] == _ENUMERATED:
            space = int.from_bytes(box[3:7], "big")
            if space in _KNOWN_SPACES:
                return None, None
            unknown = unknown or space
    return None, unknown
