"""Typed, compressed sections: what the index of an archive consists of.

Compressed with zstd, which pyarrow brings: of the codecs that are installed wherever CLC is, it is the smallest on
names, and the only one besides LZMA that sees that two photos tens of kilobytes apart have the same EXIF or ICC block.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from clc.archive.numbers import Cursor, pack_varint
from clc.errors import ArchiveError

FIRST_OPTIONAL = 64
_LEVEL = 19
_MAX_EXPANSION = 100
_FREE_BYTES = 2**20  # that a section may expand to in any case


class Method(IntEnum):
    """How a section is stored."""

    PLAIN = 0
    ZSTD = 1  # one frame (RFC 8878)


@dataclass(frozen=True)
class Section:
    """A section as it is stored; `size` is what `content` expands it to, in bytes."""

    method: int
    size: int
    stored: bytes

    def content(self, name: str, *, expected: int | None = None) -> bytes:
        """The section, expanded. Raises ArchiveError if it is damaged, or not of the size `expected`."""
        if expected is not None and self.size != expected:
            raise ArchiveError(f"section {name} has {self.size:,} bytes, not {expected:,}")
        if self.size > _MAX_EXPANSION * len(self.stored) + _FREE_BYTES:
            raise ArchiveError(f"section {name} claims to expand {len(self.stored):,} bytes to {self.size:,}; refused")
        if self.method == Method.PLAIN:
            if self.size != len(self.stored):
                raise ArchiveError(f"section {name} has {len(self.stored):,} bytes, not {self.size:,}")
            return self.stored
        if self.method != Method.ZSTD:
            raise ArchiveError(f"section {name} is compressed by method {self.method}, unknown to this release of CLC")
        return _expanded(self, name)


def pack_sections(sections: Mapping[int, bytes], *, plain: frozenset[int] = frozenset()) -> bytes:
    """Sections in ascending order of their kinds, each compressed if that makes it smaller and it is not in `plain`."""
    packed = bytearray()
    for kind, content in sorted(sections.items()):
        method, stored, sizes = Method.PLAIN, content, pack_varint(len(content))
        if kind not in plain:
            smaller = compressed(content)
            # What is all the same may shrink more than a reader would believe.
            if len(smaller) + len(sizes) < len(content) <= _MAX_EXPANSION * len(smaller) + _FREE_BYTES:
                method, stored, sizes = Method.ZSTD, smaller, sizes + pack_varint(len(smaller))
        packed += bytes([kind, method]) + sizes + stored
    return bytes(packed)


def parse_sections(data: bytes, known: type[IntEnum]) -> dict[int, Section]:
    """Sections by their kinds, none of them expanded yet; those that may be passed over if unknown are left out.

    Raises ArchiveError for sections that are cut, out of order, or unknown and needed.
    """
    sections: dict[int, Section] = {}
    last = 0
    kinds = {each.value for each in known}
    fields = Cursor(data, "archive is damaged: a section")
    while fields.left:
        kind, method = fields.take(2)
        size = fields.varint()
        stored = fields.varint() if method != Method.PLAIN else size
        if kind <= last:
            raise ArchiveError(f"archive is damaged: section {kind} is repeated or out of order")
        if stored > fields.left:
            raise ArchiveError(f"archive is damaged: section {kind} promises {stored:,} bytes")
        content = fields.take(stored)
        if kind in kinds:
            sections[kind] = Section(method, size, content)
        elif kind < FIRST_OPTIONAL:
            raise ArchiveError(f"section {kind} is unknown to this release of CLC; a newer one reads the archive")
        last = kind
    return sections


def section_of(sections: Mapping[int, Section], kind: IntEnum) -> Section:
    """A section that must be there. Raises ArchiveError if it is not."""
    try:
        return sections[kind]
    except KeyError:
        raise ArchiveError(f"archive is damaged: it has no section {kind.name.lower()}") from None


def compressed(content: bytes) -> bytes:
    """One zstd frame."""
    import pyarrow as pa

    packed: bytes = pa.Codec("zstd", compression_level=_LEVEL).compress(content, asbytes=True)
    return packed


def _expanded(section: Section, name: str) -> bytes:
    import pyarrow as pa

    try:
        content: bytes = pa.Codec("zstd").decompress(section.stored, decompressed_size=section.size, asbytes=True)
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise ArchiveError(f"section {name} is damaged: {error}") from error
    if len(content) != section.size:
        raise ArchiveError(f"section {name} is damaged: it expands to {len(content):,} bytes, not {section.size:,}")
    return content
