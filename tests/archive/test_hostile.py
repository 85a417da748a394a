"""Hostile archives are one kind of error, before anything large is allocated."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clc.archive.archive_index import IndexSection
from clc.archive.numbers import pack_column, pack_varint
from clc.archive.sections import Method, pack_sections, parse_sections
from clc.errors import ArchiveError
from tests.archive.samples import archive_bytes, reader_of

# Where the package is installed there are no benchmarks, and so no mutants.
fuzz = pytest.importorskip("benchmarks.archive_fuzz")

MUTANTS = 1500
COUNT = 5


@pytest.mark.medium
def test_a_mutant_is_refused_or_gives_photos_that_were_packed() -> None:
    outcomes: Counter[tuple[bool, str]] = Counter()
    for seed in range(MUTANTS):
        mutant = fuzz.mutate(seed)
        outcomes[mutant.mended, fuzz.judge(mutant)] += 1
    # A check of the mutants: hashes that fit reach what is behind them.
    assert all(outcomes[mended, outcome] > 20 for mended in (True, False) for outcome in ("refused", "opened"))


def test_a_reader_that_takes_another_photo_would_be_found() -> None:
    with pytest.raises(fuzz.Violation, match="another photo"):
        fuzz.judge(fuzz.Mutant(0, "none", False, archive_bytes(range(2)), fuzz.GOLDEN.read_bytes()))


def with_sections(**changed: bytes) -> bytes:
    """A sound archive with other contents of sections of its index, hashes and all."""
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    contents = {kind: section.content("") for kind, section in parse_sections(parts.index, IndexSection).items()}
    contents |= {IndexSection[name.upper()]: content for name, content in changed.items()}
    return replace(parts, index=pack_sections(contents, plain=frozenset({IndexSection.DIGESTS}))).joined()


def tables(
    *,
    parents: list[list[int]] | None = None,
    names: list[tuple[int, bytes]] | None = None,
    models: int = 1,
    streams: int = COUNT,
    members: int = COUNT,
    **changed: list[int],
) -> bytes:
    """The tables of five streams and members, with some columns changed. names: bytes shared, and the rest."""
    parents = parents or [[]] * COUNT
    columns = {"gap": [50] * COUNT, "length": [20] * COUNT, "height": [6] * COUNT, "width": [9] * COUNT}
    columns |= {"quality": [5000] * COUNT, "model": [0] * COUNT, "form": [1] * COUNT}
    columns |= {"counts": [len(each) for each in parents], "parents": [each for own in parents for each in own]}
    columns |= {"stream": [*range(COUNT)], "original_bytes": [9] * COUNT, "modified": [0] * COUNT, "mode": [0] * COUNT}
    names = names or [(0, name) for name in (b"a", b"b", b"c", b"d", b"e")]
    columns["shared"] = [shared for shared, _ in names]
    columns |= changed
    packed = b"".join(map(pack_varint, (streams, members, models))) + bytes(8 * models)
    return packed + b"".join(map(pack_column, columns.values())) + b"".join(rest + b"\0" for _, rest in names)


def carried(which: list[int], lengths: list[int]) -> bytes:
    return pack_varint(len(lengths)) + pack_column(np.array(which)) + pack_column(np.array(lengths, np.int64))


def test_nothing_is_wrong_where_nothing_is_changed() -> None:
    """A check of the tests below."""
    archive = reader_of(
        with_sections(tables=tables(), carried=carried([1, 0, 2, 1, 0], [3, 4]), carried_blocks=b"one four"[1:])
    )
    assert archive.names == ("a", "b", "c", "d", "e")
    assert archive.member("c").carried == b"four"
    shared = [(0, b"holiday/1"), (8, b"2"), (8, b"3"), (0, b"x"), (1, b"y")]
    assert reader_of(with_sections(tables=tables(names=shared))).names[1::3] == ("holiday/2", "xy")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gap": [2**63 - 1, 0, 0, 0, 0]}, "outside"),
        ({"gap": [-1, 50, 50, 50, 50]}, "outside"),
        ({"length": [0, 0, 0, 0, 2**62]}, "outside"),
        ({"gap": [2**62] * 5}, "outside"),
        ({"model": [1] * 5}, "a stream a model, that is not there"),
        ({"model": [-1] * 5}, "a stream a model, that is not there"),
        ({"height": [0] * 5}, "no pixels"),
        ({"width": [2**16] * 5}, "no pixels|out of range"),
        ({"form": [3] * 5}, "column form"),
        ({"mode": [-1] * 5}, "column mode"),
        ({"original_bytes": [-1] * 5}, "column original_bytes"),
        ({"stream": [9] * 5}, "names a stream"),
        ({"counts": [6, 0, 0, 0, 0]}, "more than 5"),
        ({"counts": [-1, 0, 0, 0, 0]}, "more than 5"),
        ({"parents": [[0], [], [], [], []]}, "a refers to a stream that does not come before it"),
        ({"parents": [[], [4], [], [], []]}, "b refers to a stream that does not come before it"),
        ({"parents": [[], [-1], [], [], []]}, "b refers to a stream that does not come before it"),
        ({"parents": [[], [0], [1], [], []]}, "c refers to one that refers to others itself"),
        ({"parents": [[], [], [], [1, 0, 1], []]}, "d refers to the same one twice"),
        ({"models": 257}, "out of range"),
        ({"streams": COUNT + 1}, "section digests has 240 bytes"),
        ({"streams": 2**32 - 1, "members": 2**32 - 1}, "section digests has 240 bytes"),
        ({"streams": 2**40}, "out of range"),
        ({"names": [(0, b"../a"), (0, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "inside a folder"),
        ({"names": [(0, b"/etc/a"), (0, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "inside a folder"),
        ({"names": [(0, b"a"), (1, b""), (0, b"c"), (0, b"d"), (0, b"e")]}, "the same name"),
        ({"names": [(0, b"a"), (2, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "begins like one that is shorter"),
        ({"names": [(0, b"a"), (-1, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "begins like one that is shorter"),
        ({"names": [(0, b"a" * 300), (256, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "begins like one that is shorter"),
        ({"names": [(0, b"a"), (0, b"\xff"), (0, b"c"), (0, b"d"), (0, b"e")]}, "UTF-8"),
        ({"names": [(0, b"a"), (0, b"b"), (0, b"c\0d"), (0, b"e"), (0, b"f")]}, "6 names for 5"),
        ({"names": [(0, b"a" * 4097), (0, b"b"), (0, b"c"), (0, b"d"), (0, b"e")]}, "4,096 bytes"),
        ({"names": [(0, b"a" * 4096), (255, b"b" * 4000), (0, b"c"), (0, b"d"), (0, b"e")]}, "4,255 bytes"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        reader_of(with_sections(tables=tables(**changed)))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"tables": tables()[:-1]}, "5 members"),
        ({"tables": tables()[:40]}, "cut short"),
        ({"digests": bytes(239)}, "section digests has 239 bytes, not 240"),
        ({"carried": carried([1, 1, 1, 1, 2], [3]), "carried_blocks": bytes(3)}, "carries what is not there"),
        ({"carried": carried([-1, 1, 1, 1, 1], [3]), "carried_blocks": bytes(3)}, "carries what is not there"),
        ({"carried": carried([1] * 5, [2**40]), "carried_blocks": bytes(3)}, "carries more than"),
        ({"carried": carried([1] * 5, [1] * 6), "carried_blocks": bytes(6)}, "out of range"),
        ({"carried": carried([1] * 5, [3]), "carried_blocks": bytes(4)}, "not as long as it should be"),
        ({"carried": carried([1] * 5, [3])}, "not as long as it should be"),
        ({"carried_blocks": bytes(4)}, "not as long as it should be"),
        ({"carried": carried([1] * 5, [3]) + b"?", "carried_blocks": bytes(3)}, "1 bytes too many"),
    ],
)
def test_sections_that_do_not_agree_are_refused(sections: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        reader_of(with_sections(**sections))


def test_a_section_that_expands_beyond_reason_is_refused_before_it_does() -> None:
    section = parse_sections(pack_sections({IndexSection.TABLES: bytes(2**20)}), IndexSection)[IndexSection.TABLES]
    assert section.method == Method.ZSTD
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="refused"):
        replace(section, size=2**40).content("names")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_counts_that_the_file_has_no_room_for_are_refused_before_anything_is_allocated() -> None:
    """A constant column of any length takes four bytes."""
    data = with_sections(tables=tables(streams=2**32 - 1, members=2**32 - 1))
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="section digests"):
        reader_of(data)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_needed_section_that_is_unknown_is_refused_and_another_is_passed_over() -> None:
    parts = fuzz.taken_apart(archive_bytes(range(COUNT)))
    optional = parts.index + pack_sections({99: b"of the future"})
    assert len(reader_of(replace(parts, index=optional).joined()).names) == COUNT
    needed = pack_sections({9: b"?"})
    with pytest.raises(ArchiveError, match="section 9 is unknown"):
        reader_of(replace(parts, index=parts.index + needed).joined())
