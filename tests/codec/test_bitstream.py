"""The container: what is written is read; anything else is a BitstreamError."""

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clc.codec.bitstream import HEADER_FIELDS, MAGIC, REFERENCE_FIELDS, Bitstream, SectionKind, describe
from clc.codec.packing import MAX_DISPLACEMENT
from clc.codec.stream_header import NO_DICTIONARY, Header, Scope
from clc.errors import BitstreamError

HEADER = Header(
    model_id="0123456789abcdef",
    dictionary_id="fedcba9876543210",
    height=300,
    width=520,
    quality=37.25,
    references=3,
    index_bits=12,
)


@pytest.fixture
def stream() -> Bitstream:
    entries = np.random.default_rng(0).integers(0, 3000, (HEADER.tiles, 3))
    return Bitstream(HEADER, entries, b"zzzz", b"yyyyYYYY" * 40, 0xDEADBEEF)


def test_a_round_trip_keeps_every_field(stream: Bitstream) -> None:
    again = Bitstream.from_bytes(stream.to_bytes())
    assert again.header == stream.header
    assert np.array_equal(again.entries, stream.entries)
    assert (again.hyper, again.latent, again.latent_checksum) == (stream.hyper, stream.latent, stream.latent_checksum)


def test_header_and_checksums_take_26_bytes_and_a_section_at_most_three_more_than_it_holds(stream: Bitstream) -> None:
    sizes = describe(stream.to_bytes())["bytes"]
    assert isinstance(sizes, dict)
    assert sizes["header"] + sizes["checksums"] == 26
    assert sizes["references"] == 2 + 10 + -(-HEADER.tiles * 3 * 12 // 8)
    assert (sizes["z"], sizes["y"]) == (2 + 4, 3 + 320)
    assert sum(size for name, size in sizes.items() if name != "total") == sizes["total"] == len(stream.to_bytes())


def test_references_of_the_whole_image_are_stored_once(stream: Bitstream) -> None:
    header = replace(HEADER, scope=Scope.IMAGE)
    data = Bitstream(header, stream.entries[:1], stream.hyper, stream.latent, 0).to_bytes()
    again = Bitstream.from_bytes(data)
    assert again.header == header
    assert np.array_equal(again.entries, stream.entries[:1])
    assert describe(data)["bytes"]["references"] == 2 + 10 + 5


@pytest.mark.parametrize("changes", [{"height": 256, "width": 256}, {"references": 0, "index_bits": 0}])
def test_a_scope_that_changes_nothing_is_refused(changes: dict[str, int]) -> None:
    if "references" in changes:
        changes = changes | {"dictionary_id": NO_DICTIONARY}
    with pytest.raises(BitstreamError, match="whole image"):
        replace(HEADER, scope=Scope.IMAGE, **changes)


@pytest.fixture
def aligned(stream: Bitstream) -> Bitstream:
    header = replace(HEADER, scope=Scope.ALIGNED, references=2)
    corners = np.array([[[0, -1], [63, -64], [64, 1], [2**20, -(2**20)]], [[5, 5]] * 4], dtype=np.int32)
    return replace(stream, header=header, entries=stream.entries[:1, :2], corners=corners)


def test_corners_of_aligned_references_are_kept(aligned: Bitstream) -> None:
    again = Bitstream.from_bytes(aligned.to_bytes())
    assert again.header == aligned.header
    assert np.array_equal(again.corners, aligned.corners)
    assert np.array_equal(again.entries, aligned.entries)


def test_a_reference_that_hardly_moved_takes_eight_bytes(aligned: Bitstream) -> None:
    near = np.full((2, 4, 2), -64, dtype=np.int32)
    sizes = describe(replace(aligned, corners=near).to_bytes())["bytes"]
    assert sizes["corners"] == 2 + 2 * 8
    assert sizes["references"] == 2 + 10 + 3


def test_a_corner_too_far_away_is_refused(aligned: Bitstream) -> None:
    far = np.full((2, 4, 2), MAX_DISPLACEMENT + 1, dtype=np.int32)
    with pytest.raises(BitstreamError, match="corner"):
        Bitstream.from_bytes(replace(aligned, corners=far).to_bytes())


@pytest.mark.parametrize("name", ["displacements", "light"])
def test_what_refines_corners_comes_with_them(stream: Bitstream, aligned: Bitstream, name: str) -> None:
    data = replace(aligned, **{name: b"grids"}).to_bytes()
    assert getattr(Bitstream.from_bytes(data), name) == b"grids"
    assert describe(data)["bytes"][name] == 2 + 5
    with pytest.raises(BitstreamError, match="refine references that are aligned"):
        Bitstream.from_bytes(replace(stream, **{name: b"grids"}).to_bytes())


def test_a_stream_without_references_aligns_none() -> None:
    with pytest.raises(BitstreamError, match="no references to align"):
        replace(HEADER, scope=Scope.ALIGNED, references=0, index_bits=0, dictionary_id=NO_DICTIONARY)


@pytest.mark.parametrize("kind", ["stream", "aligned"])
def test_every_flipped_bit_is_noticed(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind).to_bytes()
    for position in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[position // 8] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            Bitstream.from_bytes(bytes(mutant))


@pytest.mark.parametrize("kind", ["stream", "aligned"])
def test_every_truncation_is_noticed(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind).to_bytes()
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            Bitstream.from_bytes(data[:length])


def resealed(data: bytes) -> bytes:
    """With a checksum that fits."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


FIRST_SECTION = 18


def test_only_the_shortest_form_of_a_length_is_read(stream: Bitstream) -> None:
    data = stream.to_bytes()
    longer = data[: FIRST_SECTION + 1] + bytes([data[FIRST_SECTION + 1] | 0x80, 0]) + data[FIRST_SECTION + 2 :]
    with pytest.raises(BitstreamError, match="longer than it need be"):
        Bitstream.from_bytes(resealed(longer))


def test_bits_after_the_last_index_are_zero(stream: Bitstream) -> None:
    odd = replace(stream, header=replace(HEADER, index_bits=11), entries=stream.entries % 2000)
    data, sizes = bytearray(odd.to_bytes()), describe(odd.to_bytes())["bytes"]
    assert isinstance(sizes, dict)
    data[FIRST_SECTION + sizes["references"] - 1] |= 1
    with pytest.raises(BitstreamError, match="after the last entry index"):
        Bitstream.from_bytes(resealed(bytes(data)))


def with_section(data: bytes, kind: int, content: bytes, at: int | None = None) -> bytes:
    """With one section more, by default the last one."""
    at = len(data) - 8 if at is None else at
    return resealed(data[:at] + bytes([kind, len(content)]) + content + data[at:])


def test_an_unknown_section_that_a_decoder_needs_is_refused(stream: Bitstream) -> None:
    with pytest.raises(BitstreamError, match="section 63 is unknown to this release"):
        Bitstream.from_bytes(with_section(stream.to_bytes(), 63, b"?"))


def test_an_unknown_section_that_is_optional_is_skipped(stream: Bitstream) -> None:
    data = with_section(stream.to_bytes(), 65, b"whatever")
    again = Bitstream.from_bytes(data)
    assert (again.hyper, again.latent) == (stream.hyper, stream.latent)
    assert describe(data)["bytes"]["65"] == 2 + 8


def test_sections_come_once_and_in_order(stream: Bitstream) -> None:
    for kind in (SectionKind.Y, SectionKind.Z):
        with pytest.raises(BitstreamError, match="repeated or out of order"):
            Bitstream.from_bytes(with_section(stream.to_bytes(), kind, b"yyyy"))


def test_a_section_longer_than_the_stream_is_refused(stream: Bitstream) -> None:
    data = stream.to_bytes()[:-8] + bytes([SectionKind.BLOCKS, 100]) + b"too short" + bytes(8)
    with pytest.raises(BitstreamError, match="section blocks promises 100 bytes"):
        Bitstream.from_bytes(resealed(data))


@pytest.fixture
def plain() -> Bitstream:
    header = replace(HEADER, references=0, index_bits=0, dictionary_id=NO_DICTIONARY)
    return Bitstream(header, np.empty((HEADER.tiles, 0), dtype=np.int64), None, None, 0, blocks=b"blocks")


def test_an_image_without_the_network_has_neither_z_nor_y(plain: Bitstream) -> None:
    again = Bitstream.from_bytes(plain.to_bytes())
    assert (again.hyper, again.latent, again.blocks, again.picture) == (None, None, b"blocks", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": b"file"}, "holds nothing else"),
        ({"blocks": None}, "no section that an image could come from"),
        ({"hyper": b"zzzz"}, "section z exactly if it has section y"),
        ({"latent": b"yyyy"}, "section z exactly if it has section y"),
    ],
)
def test_sections_that_make_no_image_are_refused(plain: Bitstream, change: dict[str, bytes], message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        Bitstream.from_bytes(replace(plain, **change).to_bytes())


def test_references_without_a_latent_are_refused(stream: Bitstream) -> None:
    with pytest.raises(BitstreamError, match="references condition a latent"):
        Bitstream.from_bytes(replace(stream, hyper=None, latent=None, blocks=b"blocks").to_bytes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin with 'CLC'"),
        (b"\x89PNG\r\n", "does not begin with 'CLC'"),
        (MAGIC, "truncated"),
        (MAGIC + b"\x07" + bytes(40), "version 7 was made by a newer version of CLC"),
        (MAGIC + b"\x03" + bytes(40), "format version 3 is not supported"),
        (MAGIC + b"\x04" + bytes(60), "height is 0"),
        (MAGIC + b"\x05", "truncated"),
        (MAGIC + b"\x06" + bytes(5), "truncated"),
    ],
)
def test_foreign_data_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        Bitstream.from_bytes(data)


def test_a_huge_promised_length_allocates_nothing(stream: Bitstream) -> None:
    data = bytearray(stream.to_bytes())
    data[FIRST_SECTION + 1 : FIRST_SECTION + 1] = b"\xff\xff\xff\xff"  # the first length becomes gigabytes
    with pytest.raises(BitstreamError, match="truncated"):
        Bitstream.from_bytes(resealed(bytes(data)))


def test_a_flipped_bit_is_said_to_be_damage_wherever_it_lies(stream: Bitstream) -> None:
    """Not to be a section of a newer release, say, which would send a user to look for that."""
    data = stream.to_bytes()
    for position in range(4, len(data)):  # behind mark and version
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(BitstreamError, match="damaged or cut short"):
                Bitstream.from_bytes(bytes(flipped))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": 65536},
        {"quality": 0.5},
        {"references": 6},
        {"index_bits": 32},
        {"references": 0},
    ],
)
def test_fields_out_of_range_cannot_be_made(change: dict[str, float]) -> None:
    with pytest.raises(BitstreamError):
        replace(HEADER, **change)


def test_without_references_no_dictionary_is_named() -> None:
    header = replace(HEADER, references=0, index_bits=0, dictionary_id=NO_DICTIONARY)
    data = Bitstream(header, np.empty((0, 0), dtype=np.int64), b"", b"", 0).to_bytes()
    assert describe(data)["dictionary"] is None
    assert Bitstream.from_bytes(data).entries.size == 0


def test_reading_a_header_imports_no_torch() -> None:
    code = "import sys, clc.codec.bitstream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_bytes_of_a_stream_are_these() -> None:
    """Written with format version 6; if this fails, old files can no longer be read."""
    header = replace(HEADER, height=1, width=257, index_bits=5)
    stream = Bitstream(header, np.array([[1, 2, 31], [0, 16, 7]]), b"zzzz", b"yyyyyyyy", 1)
    assert stream.to_bytes().hex() == VERSION_6


def test_a_stream_of_version_4_is_read() -> None:
    stream = Bitstream.from_bytes(bytes.fromhex(VERSION_4))
    assert stream.header == replace(HEADER, height=1, width=257, index_bits=5, format_version=4)
    assert stream.entries.tolist() == [[1, 2, 31], [0, 16, 7]]
    assert (stream.hyper, stream.latent, stream.latent_checksum) == (b"zzzz", b"yyyyyyyy", 1)
    sizes = describe(bytes.fromhex(VERSION_4))["bytes"]
    assert isinstance(sizes, dict)
    assert sum(size for name, size in sizes.items() if name != "total") == sizes["total"] == len(VERSION_4) // 2


def test_every_flipped_bit_and_truncation_of_a_stream_of_version_4_is_noticed() -> None:
    data = bytes.fromhex(VERSION_4)
    mutants = [data[:length] for length in range(len(data))] + [data + b"\0"]
    for position in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[position // 8] ^= 1 << position % 8
        mutants.append(bytes(mutant))
    for mutant in mutants:
        with pytest.raises(BitstreamError):
            Bitstream.from_bytes(mutant)


VERSION_4 = "434c43042b0123456789abcdeffedcba9876543210010001018d0e010208be081c7a7a7a7a79797979797979790100000041b225bb"
VERSION_6 = "434c43060123456789abcdef010001018d0e"
VERSION_6 += "010efedcba98765432102b0008be081c03047a7a7a7a0408797979797979797901000000c175593a"


def test_the_format_document_lists_the_fields_and_sections_as_they_are_declared() -> None:
    document = (Path(__file__).parents[2] / "docs" / "bitstream.md").read_text(encoding="utf-8")
    position = 0
    for each in (*HEADER_FIELDS, *REFERENCE_FIELDS):
        row = f"| {struct.calcsize('<' + each.code)} | {each.name} | {each.meaning} |"
        assert row in document, row
    for kind in SectionKind:
        row = f"| {kind.value} | {kind.name.lower()} | {kind.summary} |"
        assert document.index(row) > position
        position = document.index(row)
