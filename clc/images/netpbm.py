"""The header of a PBM, PGM or PPM file (netpbm), which several pictures may follow one another in."""

import re
from dataclasses import dataclass

_GAP = rb"(?:\s|#[^\n]*\n)+"
_SIZE = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_HIGHEST = re.compile(_GAP + rb"(\d{1,9})")


@dataclass(frozen=True)
class NetpbmHeader:
    """highest: the level of white. end: where the first picture ends; None where its numbers are text."""

    highest: int
    end: int | None


def netpbm_header(data: bytes) -> NetpbmHeader | None:
    """What a file's header says; None of another file, or a damaged one."""
    size = _SIZE.match(data)
    if size is None:
        return None
    kind, width, height = (int(number) for number in size.groups())
    bitmap = kind in (1, 4)
    found = None if bitmap else _HIGHEST.match(data, size.end())
    if found is None and not bitmap:
        return None
    highest, start = (1, size.end()) if found is None else (int(found[1]), found.end())
    if kind < 4:
        return NetpbmHeader(highest, None)
    row = -(-width // 8) if bitmap else width * (3 if kind == 6 else 1) * (2 if highest > 255 else 1)
    return NetpbmHeader(highest, start + 1 + row * height)
