"""Hostile archives are one kind of error, before anything large is allocated."""

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from clc.archive.contents import IndexSection, MetadataSection
from clc.archive.sections import Method, pack_sections, parse_sections, transposed
from clc.errors import ArchiveError
from tests.archive.samples import archive_bytes, reader_of

# Where the package is installed there are no benchmarks, and so no mutants.
fuzz = pytest.importorskip("benchmarks.archive_fuzz")

MUTANTS = 1500
COUNT = 5


def test_a_mutant_is_refused_or_gives_photos_that_were_packed() -> None:
    sound = fuzz.GOLDEN.read_bytes()
    outcomes: Counter[tuple[bool, str]] = Counter()
    for seed in range(MUTANTS):
        mutant = fuzz.mutate(sound, seed)
        outcomes[mutant.mended, fuzz.judge(mutant, sound)] += 1
    # A check of the mutants: hashes that fit reach what is behind them.
    assert all(outcomes[mended, outcome] > 20 for mended in (True, False) for outcome in ("refused", "opened"))


def test_a_reader_that_takes_another_photo_would_be_found() -> None:
    with pytest.raises(fuzz.Violation, match="another photo"):
        fuzz.judge(fuzz.Mutant(0, "none", False, archive_bytes(range(2))), fuzz.GOLDEN.read_bytes())


def with_index(**sections: bytes) -> bytes:
    """A sound archive with other contents of sections of its index, hashes and all."""
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    head = parts.index[: fuzz._INDEX_HEAD_BYTES]
    there = parse_sections(parts.index[fuzz._INDEX_HEAD_BYTES :], IndexSection)
    contents = {kind: section.content("") for kind, section in there.items()}
    contents |= {IndexSection[name.upper()]: content for name, content in sections.items()}
    plain = frozenset({IndexSection.STREAM_DIGESTS, IndexSection.ORIGINAL_DIGESTS})
    return replace(parts, index=head + pack_sections(contents, plain=plain)).joined()


def with_names(names: bytes) -> bytes:
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    there = parse_sections(parts.metadata, MetadataSection)
    contents = {kind: section.content("") for kind, section in there.items()}
    return replace(parts, metadata=pack_sections(contents | {MetadataSection.NAMES: names})).joined()


def columns(**changed: list[int]) -> bytes:
    """The section of streams, with some columns changed."""
    codes = {"gap": "<u8", "length": "<u8", "height": "<u2", "width": "<u2", "quality": "<u2", "model": "u1"}
    codes["parents"] = "u1"
    there = reader_of(archive_bytes(range(COUNT))).index.stream_columns
    found = {name: np.array(changed.get(name, there[name]), np.uint64) for name in codes}
    return b"".join(transposed(found[name], code) for name, code in codes.items())


def test_nothing_is_changed_where_nothing_is_changed() -> None:
    """A check of the tests below."""
    assert len(reader_of(with_index(streams=columns())).names) == COUNT
    assert len(reader_of(with_names(b"a\0b\0c\0d\0e\0")).names) == COUNT


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"streams": columns(gap=[2**64 - 1, 0, 0, 0, 0])}, "outside"),
        ({"streams": columns(length=[0, 0, 0, 0, 2**63])}, "outside"),
        ({"streams": columns(gap=[2**63] * 5)}, "outside"),
        ({"streams": columns(model=[1] * 5)}, "model"),
        ({"streams": columns(height=[0] * 5)}, "no pixels"),
        ({"streams": columns(parents=[6, 0, 0, 0, 0])}, "more than 5"),
        ({"streams": columns(parents=[1, 0, 0, 0, 0]), "parents": transposed(np.array([0]), "<u4")}, "come before"),
        ({"streams": columns(parents=[0, 1, 0, 0, 0]), "parents": transposed(np.array([4]), "<u4")}, "come before"),
        ({"streams": columns(parents=[0, 1, 1, 0, 0]), "parents": transposed(np.array([0, 1]), "<u4")}, "itself"),
        ({"streams": columns(parents=[0, 2, 0, 0, 0]), "parents": transposed(np.array([0, 0]), "<u4")}, "twice"),
        ({"parents": bytes(4)}, "section parents has 4 bytes, not 0"),
        ({"streams": columns()[:-1]}, "section streams"),
        ({"stream_digests": bytes(31 * COUNT)}, "section stream_digests"),
        ({"members": transposed(np.array([9] * 5), "<u4") + bytes(8 * COUNT)}, "names a stream"),
        ({"models": bytes(257 * 8)}, "section models"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(sections: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        reader_of(with_index(**sections))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"../a\0b\0c\0d\0e\0", "inside a folder"),
        (b"/etc/a\0b\0c\0d\0e\0", "inside a folder"),
        (b"a\0a\0c\0d\0e\0", "the same name"),
        (b"a\0b\0c\0d\0\xff\0", "UTF-8"),
        (b"a\0b\0c\0d\0", "4 names for 5"),
        (b"a\0b\0c\0d\0e\0f", "5 members"),
        (b"a" * 4097 + b"\0b\0c\0d\0e\0", "4,097 bytes"),
        (b"a" * 30_000 + b"\0b\0c\0d\0e\0", "more than 5 names"),
    ],
)
def test_names_that_must_not_be_are_refused(names: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        reader_of(with_names(names))


def test_a_section_that_expands_beyond_reason_is_refused_before_it_does() -> None:
    bomb = pack_sections({MetadataSection.NAMES: bytes(2**20)})
    section = parse_sections(bomb, MetadataSection)[MetadataSection.NAMES]
    assert section.method == Method.ZSTD
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="refused"):
        replace(section, size=2**40).content("names")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_counts_that_the_file_has_no_room_for_are_refused_before_anything_is_allocated() -> None:
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    head = (2**32 - 1).to_bytes(4, "little") * 2 + parts.index[8:]
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="section stream_digests"):
        reader_of(replace(parts, index=head).joined())
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_needed_section_that_is_unknown_is_refused_and_another_is_passed_over() -> None:
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    optional = parts.metadata + pack_sections({64: b"EXIF of the future"})
    assert len(reader_of(replace(parts, metadata=optional).joined()).names) == COUNT
    needed = parts.metadata + pack_sections({9: b"?"})
    with pytest.raises(ArchiveError, match="section 9 is unknown"):
        reader_of(replace(parts, metadata=needed).joined())
