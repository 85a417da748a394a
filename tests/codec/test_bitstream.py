"""The container: what is written is read; anything else is a BitstreamError."""

import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

from clc.codec.bitstream import MAGIC, MAX_DISPLACEMENT, NO_DICTIONARY, Bitstream, Header, Scope, describe
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


def test_header_and_checksums_take_at_most_40_bytes(stream: Bitstream) -> None:
    sizes = describe(stream.to_bytes())["bytes"]
    assert isinstance(sizes, dict)
    assert sizes["header"] + sizes["checksums"] <= 40
    assert sizes["indices"] == -(-HEADER.tiles * 3 * 12 // 8)
    assert sum(size for name, size in sizes.items() if name != "total") == sizes["total"] == len(stream.to_bytes())


def test_references_of_the_whole_image_are_stored_once(stream: Bitstream) -> None:
    header = replace(HEADER, scope=Scope.IMAGE)
    data = Bitstream(header, stream.entries[:1], stream.hyper, stream.latent, 0).to_bytes()
    again = Bitstream.from_bytes(data)
    assert again.header == header
    assert np.array_equal(again.entries, stream.entries[:1])
    assert describe(data)["bytes"]["indices"] == 5


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
    assert describe(aligned.to_bytes())["format_version"] == 5


def test_a_reference_that_hardly_moved_takes_eight_bytes_more(stream: Bitstream, aligned: Bitstream) -> None:
    near = np.full((2, 4, 2), -64, dtype=np.int32)
    sizes = describe(replace(aligned, corners=near).to_bytes())["bytes"]
    assert sizes["header"] == describe(stream.to_bytes())["bytes"]["header"] + 2 * 8
    assert sizes["indices"] == 3


def test_a_corner_too_far_away_is_refused(aligned: Bitstream) -> None:
    far = np.full((2, 4, 2), MAX_DISPLACEMENT + 1, dtype=np.int32)
    with pytest.raises(BitstreamError, match="corner"):
        Bitstream.from_bytes(replace(aligned, corners=far).to_bytes())


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


def test_only_the_shortest_form_of_a_length_is_read(stream: Bitstream) -> None:
    data = stream.to_bytes()
    length = data.index(bytes([len(stream.hyper) // 4, len(stream.latent) // 4]))
    longer = data[:length] + bytes([data[length] | 0x80, 0]) + data[length + 1 :]
    with pytest.raises(BitstreamError, match="longer than it need be"):
        Bitstream.from_bytes(resealed(longer))


def test_bits_after_the_last_index_are_zero(stream: Bitstream) -> None:
    odd = replace(stream, header=replace(HEADER, index_bits=11), entries=stream.entries % 2000)
    data, sizes = bytearray(odd.to_bytes()), describe(odd.to_bytes())["bytes"]
    assert isinstance(sizes, dict)
    data[sizes["header"] + sizes["indices"] - 1] |= 1
    with pytest.raises(BitstreamError, match="after the last entry index"):
        Bitstream.from_bytes(resealed(bytes(data)))


def test_trailing_bytes_are_refused(stream: Bitstream) -> None:
    with pytest.raises(BitstreamError, match="1 bytes after its end"):
        Bitstream.from_bytes(stream.to_bytes() + b"\0")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin with 'CLC'"),
        (b"\x89PNG\r\n", "does not begin with 'CLC'"),
        (MAGIC, "truncated"),
        (MAGIC + b"\x63" + bytes(40), "format version 99"),
        (MAGIC + b"\x04" + bytes(60), "height is 0"),
    ],
)
def test_foreign_data_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        Bitstream.from_bytes(data)


def test_a_huge_promised_length_allocates_nothing(stream: Bitstream) -> None:
    data = bytearray(stream.to_bytes())
    data[27:27] = b"\xff\xff\xff\xff"  # the first length becomes gigabytes
    with pytest.raises(BitstreamError, match="truncated"):
        Bitstream.from_bytes(bytes(data))


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
    """Written with format version 4; if this fails, old files can no longer be read."""
    header = replace(HEADER, height=1, width=257, index_bits=5)
    stream = Bitstream(header, np.array([[1, 2, 31], [0, 16, 7]]), b"zzzz", b"yyyyyyyy", 1)
    assert stream.to_bytes().hex() == GOLDEN


GOLDEN = "434c43042b0123456789abcdeffedcba9876543210010001018d0e010208be081c7a7a7a7a79797979797979790100000041b225bb"
