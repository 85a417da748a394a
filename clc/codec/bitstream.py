"""The `.clc` bitstream: a header and typed sections (docs/bitstream.md).

Reading a header needs neither torch nor a model. Everything is checked against its range and against the size of the
stream before anything is allocated from it. What this release writes is of format version 6; `stream_versions_4_5`
reads older streams.
"""

import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from clc.codec.packing import (
    check_range,
    pack_corners,
    pack_indices,
    pack_number,
    read_corners,
    read_number,
    unpack_indices,
)
from clc.codec.stream_header import FORMAT_VERSION, SCOPES, Header
from clc.errors import BitstreamError
from clc.model.limits import MAX_REFERENCES, QUALITY_STEPS

MAGIC = b"CLC"
OLDER_VERSIONS = (4, 5)
"""What this release reads beside `FORMAT_VERSION`."""
CHECKSUMS = struct.Struct("<II")
"""At the end of a stream: that of what was decoded, and that of all bytes before it."""

_FIRST_OPTIONAL_SECTION = 64


@dataclass(frozen=True)
class Field:
    """One field of fixed size: its name, its code in `struct`, and what it holds."""

    name: str
    code: str
    meaning: str


HEADER_FIELDS = (
    Field("magic", "3s", "`CLC`"),
    Field("format version", "B", "6"),
    Field("model", "8s", "the first 8 bytes of the version's SHA-256"),
    Field("height", "H", "pixels, 1–65,535"),
    Field("width", "H", "pixels, 1–65,535"),
    Field("quality", "H", "hundredths, 100–10,000"),
)
REFERENCE_FIELDS = (
    Field(
        "dictionary",
        "8s",
        "the first 8 bytes of the SHA-256 of a version of kind `references`, or of a dictionary; not zero",
    ),
    Field("packing", "B", "bits 0–2: references M, 1–5; bits 3–7: bits per index b, 0–31"),
    Field(
        "scope",
        "B",
        "0: M entries for each tile; 1: M for the whole image; 2: M aligned photos; 3: likewise, blended; "
        "4: likewise, and only the first is analysed",
    ),
)


class SectionKind(IntEnum):
    """What a section holds. They come in ascending order, each at most once.

    A reader refuses a kind below 64 that it does not know, and skips one from 64 on.
    """

    REFERENCES = 1
    CORNERS = 2
    Z = 3
    Y = 4
    BLOCKS = 5
    PICTURE = 6
    SYNTAX = 7
    DISPLACEMENTS = 8
    LIGHT = 9
    METADATA = 64

    @property
    def summary(self) -> str:
        """One line for the documentation."""
        return _SUMMARIES[self]


_SUMMARIES = {
    SectionKind.REFERENCES: "the dictionary, and which of its entries are the references",
    SectionKind.CORNERS: "where the corners of the image lie in each aligned photo",
    SectionKind.Z: "the hyper-latent ẑ",
    SectionKind.Y: "the latent ŷ",
    SectionKind.BLOCKS: "blocks of 16×16 pixels coded by a linear transform",
    SectionKind.PICTURE: "the whole image as a lossless WebP file",
    SectionKind.SYNTAX: "numbers that change the end of g_s",
    SectionKind.DISPLACEMENTS: "grids of displacements that refine aligned photos",
    SectionKind.LIGHT: "gains and offsets of the colours of aligned photos",
    SectionKind.METADATA: "EXIF, XMP and the ICC profile of the image",
}
_KINDS = {kind.value: kind for kind in SectionKind}
_HEADER = struct.Struct("<" + "".join(each.code for each in HEADER_FIELDS))
_REFERENCES = struct.Struct("<" + "".join(each.code for each in REFERENCE_FIELDS))


@dataclass(frozen=True)
class Bitstream:
    """One coded image.

    entries: int64 [Q, M], dictionary entries of each tile, or of the whole image.
    corners: int32 [M, 4, 2] where references are aligned: what `clc.codec.references.warp` takes.
    hyper, latent: the entropy-coded ẑ and ŷ_f; None if the network has no part in the image.
    latent_checksum: CRC-32 of the decoded latent, and of the reference latents and the syntax that were used, so that a
    decoder that has others notices; 0 without a latent.
    blocks: what `clc.codec.linear` codes. picture: a lossless WebP file instead of everything else.
    syntax: entropy-coded numbers that change the end of g_s; None for none.
    displacements, light: what `clc.codec.references.displacement_section` and `light` pack, beside corners.
    metadata: what `clc.codec.metadata_section` packs; no picture depends on it.
    """

    header: Header
    entries: NDArray[np.int64]
    hyper: bytes | None
    latent: bytes | None
    latent_checksum: int
    corners: NDArray[np.int32] | None = None
    blocks: bytes | None = None
    picture: bytes | None = None
    syntax: bytes | None = None
    displacements: bytes | None = None
    light: bytes | None = None
    metadata: bytes | None = None

    def to_bytes(self) -> bytes:
        """Serialise, in format version 6."""
        header = self.header
        body = bytearray(
            _HEADER.pack(
                MAGIC,
                FORMAT_VERSION,
                bytes.fromhex(header.model_id),
                header.height,
                header.width,
                round(header.quality * QUALITY_STEPS),
            )
        )
        for kind, content in self._sections().items():
            body += bytes([kind]) + pack_number(len(content)) + content
        checksum = struct.pack("<I", self.latent_checksum)
        return bytes(body + checksum + struct.pack("<I", zlib.crc32(body + checksum)))

    def _sections(self) -> dict[SectionKind, bytes]:
        header = self.header
        sections: dict[SectionKind, bytes | None] = {
            SectionKind.Z: self.hyper,
            SectionKind.Y: self.latent,
            SectionKind.BLOCKS: self.blocks,
            SectionKind.PICTURE: self.picture,
            SectionKind.SYNTAX: self.syntax,
            SectionKind.DISPLACEMENTS: self.displacements,
            SectionKind.LIGHT: self.light,
            SectionKind.METADATA: self.metadata,
        }
        if header.references:
            packing = header.references | header.index_bits << 3
            fixed = _REFERENCES.pack(bytes.fromhex(header.dictionary_id), packing, SCOPES.index(header.scope))
            sections[SectionKind.REFERENCES] = fixed + pack_indices(self.entries, header.index_bits)
        if self.corners is not None:
            sections[SectionKind.CORNERS] = pack_corners(self.corners)
        return {kind: content for kind, content in sorted(sections.items()) if content is not None}

    @classmethod
    def from_bytes(cls, data: bytes) -> "Bitstream":
        """Parse and check. Raises BitstreamError that says what is wrong."""
        if version_of(data) in OLDER_VERSIONS:
            from clc.codec.stream_versions_4_5 import parse_older

            return parse_older(data).stream
        return _read(data, _find(data))


@dataclass(frozen=True)
class _Found:
    """The header's fields and sections of a stream, as bytes; sizes: of each section with its kind and length."""

    fields: tuple[bytes, int, int, int]
    sections: dict[SectionKind, bytes]
    sizes: dict[str, int] = field(default_factory=dict)


def version_of(data: bytes) -> int:
    """The format version of a stream. Raises BitstreamError if it is none that this release reads."""
    if data[: len(MAGIC)] != MAGIC:
        raise BitstreamError("not a .clc stream: it does not begin with 'CLC'")
    if len(data) <= len(MAGIC):
        raise BitstreamError(f"stream is truncated inside its header ({len(data)} bytes)")
    version = data[len(MAGIC)]
    if version > FORMAT_VERSION:
        raise BitstreamError(
            f"format version {version} was made by a newer version of CLC; this one reads up to {FORMAT_VERSION}"
        )
    if version != FORMAT_VERSION and version not in OLDER_VERSIONS:
        known = ", ".join(map(str, (*OLDER_VERSIONS, FORMAT_VERSION)))
        raise BitstreamError(f"format version {version} is not supported; this release reads versions {known}")
    return version


def describe(data: bytes) -> dict[str, object]:
    """What `clc info` prints: fields, and the bytes of each section. Raises what `Bitstream.from_bytes` raises."""
    if version_of(data) in OLDER_VERSIONS:
        from clc.codec.stream_versions_4_5 import parse_older

        older = parse_older(data)
        header, sizes, section = older.stream.header, older.sizes, None
    else:
        found = _find(data)
        parsed = _read(data, found)
        header, sizes, section = parsed.header, found.sizes, parsed.metadata
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
        "bytes": {"total": len(data), **sizes},
        "metadata": _describe_metadata(section),
        "bpp": 8 * len(data) / (header.height * header.width),
    }


def _describe_metadata(section: bytes | None) -> dict[str, int] | str:
    """The bytes of each item, decompressed; what is wrong with them, if they are damaged."""
    if section is None:
        return {}
    from clc.codec.metadata_section import read_metadata

    try:
        items = vars(read_metadata(section))
    except BitstreamError as error:
        return f"damaged: {error}"
    return {name: len(content) for name, content in items.items() if content is not None}


def _find(data: bytes) -> _Found:
    end = len(data) - CHECKSUMS.size
    if end < _HEADER.size:
        raise BitstreamError(f"stream is truncated inside its header ({len(data)} bytes)")
    _, checksum = CHECKSUMS.unpack_from(data, end)
    if zlib.crc32(data[:-4]) != checksum:  # first: what else is wrong with a damaged stream misleads
        raise BitstreamError("stream is damaged or cut short: its checksum does not match")
    _, _, *fields = _HEADER.unpack_from(data)
    position = _HEADER.size
    sections: dict[SectionKind, bytes] = {}
    sizes = {"header": position, **{each.name.lower(): 0 for each in SectionKind}}
    last = 0
    body = data[:end]
    while position < end:
        kind, start = body[position], position
        length, position = read_number(body, position + 1)
        known = _KINDS.get(kind)
        name = str(kind) if known is None else known.name.lower()
        if kind <= last:
            raise BitstreamError(f"section {name} is repeated or out of order")
        if position + length > end:
            raise BitstreamError(
                f"stream is truncated: section {name} promises {length} bytes, {end - position} are left"
            )
        sizes[name] = position + length - start
        if known is not None:
            sections[known] = body[position : position + length]
        elif kind < _FIRST_OPTIONAL_SECTION:
            raise BitstreamError(f"section {kind} is unknown to this release of CLC; a newer one can decode the stream")
        position, last = position + length, kind
    return _Found(tuple(fields), sections, {**sizes, "checksums": CHECKSUMS.size})


def _read(data: bytes, found: _Found) -> Bitstream:
    latent_checksum, _ = CHECKSUMS.unpack_from(data, len(data) - CHECKSUMS.size)
    model_id, height, width, quality = found.fields
    sections = found.sections
    _check_combination({kind for kind in sections if kind < _FIRST_OPTIONAL_SECTION})
    dictionary, packing, scope = bytes(8), 0, 0
    references = sections.get(SectionKind.REFERENCES)
    if references is not None:
        if len(references) < _REFERENCES.size:
            raise BitstreamError("section references is too short")
        dictionary, packing, scope = _REFERENCES.unpack_from(references)
        check_range("scope", scope, 0, len(SCOPES) - 1)
        check_range("references", packing & 7, 1, MAX_REFERENCES)
    header = Header(
        model_id=model_id.hex(),
        dictionary_id=dictionary.hex(),
        height=height,
        width=width,
        quality=quality / QUALITY_STEPS,
        references=packing & 7,
        index_bits=packing >> 3,
        scope=SCOPES[scope],
    )
    return Bitstream(
        header=header,
        entries=_read_entries(references, header),
        hyper=sections.get(SectionKind.Z),
        latent=sections.get(SectionKind.Y),
        latent_checksum=latent_checksum,
        corners=_read_corners(sections.get(SectionKind.CORNERS), header),
        blocks=sections.get(SectionKind.BLOCKS),
        picture=sections.get(SectionKind.PICTURE),
        syntax=sections.get(SectionKind.SYNTAX),
        displacements=sections.get(SectionKind.DISPLACEMENTS),
        light=sections.get(SectionKind.LIGHT),
        metadata=sections.get(SectionKind.METADATA),
    )


def _check_combination(kinds: set[SectionKind]) -> None:
    """Raises BitstreamError unless these sections make an image."""
    if SectionKind.PICTURE in kinds and len(kinds) > 1:
        raise BitstreamError("a stream that holds a lossless picture holds nothing else")
    if not kinds & {SectionKind.Z, SectionKind.BLOCKS, SectionKind.PICTURE}:
        raise BitstreamError("the stream has no section that an image could come from")
    if (SectionKind.Z in kinds) != (SectionKind.Y in kinds):
        raise BitstreamError("a stream has section z exactly if it has section y")
    if kinds & {SectionKind.REFERENCES, SectionKind.CORNERS} and SectionKind.Y not in kinds:
        raise BitstreamError("references condition a latent, and the stream has none")
    if SectionKind.SYNTAX in kinds and SectionKind.Y not in kinds:
        raise BitstreamError("a syntax changes what a latent becomes, and the stream has none")
    if kinds & {SectionKind.DISPLACEMENTS, SectionKind.LIGHT} and SectionKind.CORNERS not in kinds:
        raise BitstreamError("displacements and light refine references that are aligned, and the stream has none")


def _read_entries(section: bytes | None, header: Header) -> NDArray[np.int64]:
    packed = b"" if section is None else section[_REFERENCES.size :]
    if len(packed) != header.index_bytes:
        raise BitstreamError(f"the entry indices take {header.index_bytes} bytes, not {len(packed)}")
    return unpack_indices(packed, header.queries, header.references, header.index_bits)


def _read_corners(section: bytes | None, header: Header) -> NDArray[np.int32] | None:
    if (section is not None) != header.is_aligned:
        raise BitstreamError("a stream has corners exactly if its references are aligned")
    if section is None:
        return None
    corners, end = read_corners(section, 0, header.references)
    if end != len(section):
        raise BitstreamError(f"section corners has {len(section) - end} bytes too many")
    return corners
