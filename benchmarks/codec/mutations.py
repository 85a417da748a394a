"""Damaged and hostile streams made from sound ones, and what a decoder may do with them."""

import math
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import HEADER_FIELDS, Bitstream, SectionKind, describe
from clc.codec.codec import Codec
from clc.codec.encoder import with_alignment
from clc.codec.packing import MAX_DISPLACEMENT, pack_number, read_number
from clc.codec.references.displacements import Displacements, node_counts
from clc.codec.references.light import Light
from clc.codec.references.protocols import Alignment
from clc.codec.references.view import View
from clc.codec.stream_header import MAX_INDEX_BITS, MAX_SIDE, Scope
from clc.errors import BitstreamError, MissingArtifactError
from clc.model.limits import MAX_REFERENCES
from tests.codec.safety_streams import safety_streams

# Positions in a stream (docs/bitstream.md).
_SECTIONS_AT = struct.calcsize("<" + "".join(each.code for each in HEADER_FIELDS))
_SIZE_AT = _SECTIONS_AT - 6  # height, width, quality: 16 bits each
_CHECKSUM_BYTES = 4

_GOLDEN_STREAMS = ((1, 1, 50.0, True), (64, 48, 5.0, True), (70, 40, 95.0, True), (60, 270, 30.0, True))
_GOLDEN_STREAMS += ((64, 48, 5.0, False), (33, 100, 80.0, False))
_GOLDEN_ALIGNED = ((60, 100), (60, 270))


class Outcome(StrEnum):
    """What a decoder may do with a mutant."""

    DECODED = "decoded"
    REFUSED = "BitstreamError"
    MISSING = "MissingArtifactError"


class Violation(Exception):  # noqa: N818 - a finding about the decoder, not an error of this module
    """A decoder did something else."""


@dataclass(frozen=True)
class Golden:
    """A sound stream and the picture that it decodes to."""

    data: bytes
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class OnePhoto:
    """Every entry was cut from it."""

    pixels: NDArray[np.uint8]
    bytes: int = 0

    def key(self, entry: int) -> int:
        return entry

    def photo(self, entry: int) -> NDArray[np.uint8]:
        """The same for each."""
        return self.pixels


def with_photo(codec: Codec, photo: NDArray[np.uint8]) -> Codec:
    """The codec with something to align, whatever its dictionary shows; its retriever goes on retrieving."""
    return Codec(codec.model, codec.model_id, codec.latents, codec.retriever, OnePhoto(photo))


def goldens(codec: Codec, photo: NDArray[np.uint8]) -> list[Golden]:
    """Small streams of one photo: references of tiles, aligned ones, blended or not, and none; one tile and several,
    low and high quality.
    """
    made = []
    for rows, columns, quality, references in _GOLDEN_STREAMS:
        data = codec.compress(photo[:rows, :columns], quality=quality, references=references, always=True)
        made.append(Golden(data, codec.decompress(data)))
    for rows, columns in _GOLDEN_ALIGNED:
        corners = np.array([[(-20, 3), (15, -70), (0, 8), (300, 5)], [(0, 0)] * 4], dtype=np.int32)
        shape = (*node_counts(rows, columns, 32), 2)
        grid = Displacements(32, np.arange(math.prod(shape), dtype=np.int32).reshape(shape))
        views = View(corners[0], grid), View(corners[1], light=Light((48, 64, 90), (9, 0, -30)))
        alignment = Alignment(np.arange(2), views)
        analysis = codec.encoder.analyse(photo[:rows, :columns], references=False)
        for scope in (Scope.ALIGNED, Scope.BLENDED, Scope.FIRST):
            used = codec.lookup.aligned(alignment, rows, columns, 1 if scope is Scope.FIRST else None)
            coded = codec.encoder.code_latent(analysis, 40.0, used)
            data = with_alignment(coded.stream, alignment, scope).to_bytes()
            made.append(Golden(data, codec.decompress(data)))
    caught = [each.to_bytes() for each in safety_streams(codec, photo[:40, :70], 40.0, finenesses=4).values()]
    return [*made, *(Golden(data, codec.decompress(data)) for data in caught)]


@dataclass(frozen=True)
class Mutant:
    """A changed stream; mended: its last four bytes are the CRC-32 of the others, as an attacker would see to."""

    seed: int
    operator: str
    mended: bool
    data: bytes


def mutate(goldens: Sequence[Golden], seed: int) -> Mutant:
    """The mutant of this seed: one operator on one stream, or on two; about every other one mended."""
    choice = random.Random(seed)
    operator = choice.choice(_OPERATORS)
    first, second = (choice.choice(goldens).data for _ in range(2))
    data = operator(choice, first, second)
    mended = operator in _REBUILDING or choice.random() < 0.5
    if mended and len(data) >= _CHECKSUM_BYTES:
        data = data[:-_CHECKSUM_BYTES] + struct.pack("<I", zlib.crc32(data[:-_CHECKSUM_BYTES]))
    return Mutant(seed, operator.__name__.strip("_"), mended, data)


def judge(codec: Codec, mutant: Mutant, goldens: Sequence[Golden]) -> Outcome:
    """Decode a mutant.

    Raises Violation for any exception but the two that are promised, for a picture of another size than the stream
    declares, and for any picture at all from a stream that is not mended, unless it is a sound one again.
    """
    try:
        pixels = codec.decompress(mutant.data)
    except BitstreamError:
        return Outcome.REFUSED
    except MissingArtifactError:
        return Outcome.MISSING
    except Exception as error:
        raise Violation(f"{mutant.operator}, seed {mutant.seed}: {type(error).__name__}: {error}") from error
    declared = describe(mutant.data)
    if pixels.shape != (declared["height"], declared["width"], 3) or pixels.dtype != np.uint8:
        raise Violation(f"{mutant.operator}, seed {mutant.seed}: {pixels.dtype} {pixels.shape} from {declared}")
    sound = any(mutant.data == golden.data and np.array_equal(pixels, golden.pixels) for golden in goldens)
    if not mutant.mended and not sound:
        raise Violation(f"{mutant.operator}, seed {mutant.seed}: a wrong picture from a stream that is not mended")
    return Outcome.DECODED


def _flip_bits(choice: random.Random, data: bytes, other: bytes) -> bytes:
    mutant = bytearray(data)
    for _ in range(choice.choice((1, 1, 2, 8))):
        mutant[choice.randrange(len(mutant))] ^= 1 << choice.randrange(8)
    return bytes(mutant)


def _flip_a_bit_of_the_header(choice: random.Random, data: bytes, other: bytes) -> bytes:
    mutant = bytearray(data)
    mutant[choice.randrange(_SECTIONS_AT + 4)] ^= 1 << choice.randrange(8)
    return bytes(mutant)


def _overwrite(choice: random.Random, data: bytes, other: bytes) -> bytes:
    start, stop = _span(choice, data)
    return data[:start] + choice.randbytes(stop - start) + data[stop:]


def _truncate(choice: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: choice.randrange(len(data))]


def _remove(choice: random.Random, data: bytes, other: bytes) -> bytes:
    start, stop = _span(choice, data)
    return data[:start] + data[stop:]


def _repeat(choice: random.Random, data: bytes, other: bytes) -> bytes:
    start, stop = _span(choice, data)
    return data[:stop] + data[start:]


def _splice(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one stream and the end of another."""
    return data[: choice.randrange(len(data))] + other[choice.randrange(len(other)) :]


def _exchange_sections(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Some sections of another stream, with lengths that fit."""
    stream, donor = Bitstream.from_bytes(data), Bitstream.from_bytes(other)
    if choice.random() < 0.5:
        stream = replace(stream, hyper=donor.hyper)
    if choice.random() < 0.5:
        stream = replace(stream, latent=donor.latent)
    if choice.random() < 0.5:
        stream = replace(stream, header=donor.header, entries=donor.entries, corners=donor.corners)
    if choice.random() < 0.5:
        stream = replace(stream, blocks=donor.blocks, picture=donor.picture)
    if donor.syntax != stream.syntax and choice.random() < 0.5:
        stream = replace(stream, syntax=donor.syntax)
    if choice.random() < 0.5:
        stream = replace(stream, displacements=donor.displacements, light=donor.light)
    if choice.random() < 0.5:
        stream = replace(stream, latent_checksum=donor.latent_checksum)
    return stream.to_bytes()


_PAYLOADS = ("hyper", "latent", "blocks", "picture", "syntax", "displacements", "light")


def _replace_payload(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Random words, or none, in place of what sections hold, with lengths that fit."""
    stream = Bitstream.from_bytes(data)
    sections = {name: getattr(stream, name) for name in _PAYLOADS}
    changed: dict[str, bytes] = {}
    for name, old in sections.items():
        if old is not None and choice.random() < 0.6:
            changed[name] = choice.randbytes(4 * choice.choice((0, 1, len(old) // 4, choice.randrange(200))))
    return replace(stream, **changed).to_bytes()  # type: ignore[arg-type]


def _sections(data: bytes) -> list[tuple[int, int, int, int]]:
    """(kind, where its length stands, where its content begins, where that ends) of each section."""
    found, position = [], _SECTIONS_AT
    while position < len(data) - 2 * _CHECKSUM_BYTES:
        length, start = read_number(data, position + 1)
        found.append((data[position], position + 1, start, start + length))
        position = start + length
    return found


def _lie_about_lengths(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Another LEB128 number, from one off to beyond its range, in place of the length of a section."""
    _, at, start, _ = choice.choice(_sections(data))
    lies = (b"\0", b"\1", b"\x80\1", b"\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\xff" * 5, b"\xff" * 9, b"\x80\0")
    near = bytes([data[at] ^ 1]) + data[at + 1 : start]
    return data[:at] + choice.choice((near, near, *lies)) + data[start:]


def _rearrange_sections(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Sections left out, repeated, out of order, or of another kind: unknown ones, optional and not."""
    sections = [data[at - 1 : stop] for _, at, _, stop in _sections(data)]
    place = choice.randrange(len(sections))
    match choice.randrange(4):
        case 0:
            del sections[place]
        case 1:
            sections.insert(place, sections[place])
        case 2:
            choice.shuffle(sections)
        case _:
            kind = choice.choice((*SectionKind, 0, len(SectionKind) + 1, 63, 64, 255))
            sections[place] = bytes([kind]) + sections[place][1:]
    return data[:_SECTIONS_AT] + b"".join(sections) + data[-2 * _CHECKSUM_BYTES :]


def _lie_about_the_size(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Another height, width or quality."""
    values = list(struct.unpack_from("<HHH", data, _SIZE_AT))
    field = choice.randrange(3)
    near = (values[field] + choice.choice((-1, 1))) % (MAX_SIDE + 1)
    values[field] = choice.choice((near, near, 0, 1, 64, 256, 512, 4096, MAX_SIDE, choice.randrange(MAX_SIDE)))
    return data[:_SIZE_AT] + struct.pack("<HHH", *values) + data[_SECTIONS_AT:]


def _lie_about_corners(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Corners somewhere else, from nearby to out of range; other streams become aligned ones with one reference."""
    stream = Bitstream.from_bytes(data)
    if stream.header.references == 0:
        return data
    if stream.corners is None:
        header = replace(stream.header, scope=Scope.ALIGNED, references=1)
        stream = replace(stream, header=header, entries=stream.entries[:1, :1], corners=np.zeros((1, 4, 2), np.int32))
    assert stream.corners is not None
    corners = stream.corners.copy()
    reach = choice.choice((1, 100, 10_000, MAX_DISPLACEMENT, MAX_DISPLACEMENT + 1))
    for place in choice.sample(range(corners.size), choice.choice((1, 2, corners.size))):
        corners.flat[place] += choice.choice((-reach, reach, choice.randint(-reach, reach)))
    return replace(stream, corners=corners).to_bytes()


def _lie_about_references(choice: random.Random, data: bytes, other: bytes) -> bytes:
    """Another number of references, of bits for each, or scope; sometimes with no dictionary, or random indices."""
    dictionary = choice.choice((choice.randbytes(8), bytes(8), b"\1" * 8))
    packing = choice.randint(0, MAX_REFERENCES + 2) | choice.randint(0, MAX_INDEX_BITS) << 3
    section = bytearray(choice.randbytes(choice.choice((0, 1, 5, 27))))
    for kind, _, start, stop in _sections(data):
        if kind == SectionKind.REFERENCES:
            dictionary, section = (
                choice.choice((dictionary, data[start : start + 8])),
                bytearray(data[start + 10 : stop]),
            )
    content = dictionary + bytes([packing, choice.choice((0, 1, 2, 3))]) + section
    kept = [data[at - 1 : stop] for kind, at, _, stop in _sections(data) if kind != SectionKind.REFERENCES]
    own = bytes([SectionKind.REFERENCES]) + pack_number(len(content)) + content
    return data[:_SECTIONS_AT] + own + b"".join(kept) + data[-2 * _CHECKSUM_BYTES :]


def _span(choice: random.Random, data: bytes) -> tuple[int, int]:
    start = choice.randrange(len(data))
    return start, min(len(data), start + choice.choice((1, 2, 4, 4, 8, 64)))


_OPERATORS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _flip_bits,
    _flip_a_bit_of_the_header,
    _overwrite,
    _truncate,
    _remove,
    _repeat,
    _splice,
    _exchange_sections,
    _replace_payload,
    _lie_about_lengths,
    _rearrange_sections,
    _lie_about_the_size,
    _lie_about_references,
    _lie_about_corners,
)
_REBUILDING = (
    _exchange_sections,
    _replace_payload,
    _lie_about_corners,
)  # these write whole streams, whose CRC fits anyway
