"""Damaged and hostile archives: each opens or is an ArchiveError, and so is each member; nothing else ever happens.

A small sound archive is changed at random: one of each format version, and one with original files. About half of the
mutants of the newest get hashes that fit, as an attacker would see to, so that what is behind them is reached. From a
mutant without them no photo may come that is not one of the archive's. `clc unpack --salvage` looks through each, too.
Memory is limited; running out of it is a violation.

`python -m benchmarks.archive_fuzz --mutants 100000`; --first-seed and --mutants 1 repeat one.
"""

import argparse
import hashlib
import io
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from benchmarks.printing import print_machine, print_table
from clc.archive.archive_index import IndexSection
from clc.archive.byte_ranges import FileObject
from clc.archive.container import ArchiveReader
from clc.archive.framing import (
    FOOTER_BYTES,
    FOOTER_MARK,
    INDEX_DIGEST_BYTES,
    Footer,
    RecordHead,
    RecordKind,
    parse_footer,
)
from clc.archive.names import check_name
from clc.archive.originals import OriginalMethod
from clc.archive.records import salvage
from clc.archive.sections import Section, pack_sections, parse_sections
from clc.errors import ArchiveError

GOLDEN = Path(__file__).parents[1] / "tests" / "archive" / "golden" / "version-2.clca"
OLD = GOLDEN.with_name("version-1.clca")
ORIGINALS = GOLDEN.with_name("originals.clca")
_OTHERS_EVERY = 5  # of so many mutants, one is one of the old archive, and one of that with original files
_SPARE_MEMORY = 2**28
_EXTREMES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


class Violation(Exception):  # noqa: N818 - a finding about the reader, not an error of this module
    """A reader did something else than it promises."""


@dataclass(frozen=True)
class Mutant:
    """An archive that was changed; mended: its hashes fit. sound: what it was."""

    seed: int
    operator: str
    mended: bool
    data: bytes
    sound: bytes


@dataclass(frozen=True)
class Parts:
    """A sound archive, taken apart."""

    front: bytes  # everything before its last index record
    index: bytes

    def joined(self) -> bytes:
        """An archive of them, whose hashes fit."""
        front = self.front + RecordHead(RecordKind.INDEX, b"", len(self.index)).pack()
        digest = hashlib.sha256(self.index).digest()[:INDEX_DIGEST_BYTES]
        at = len(front) + len(self.index)
        return front + self.index + Footer(at, len(front), len(self.index), digest).pack()


def taken_apart(data: bytes) -> Parts:
    """The parts of a sound archive of the newest format version."""
    footer = ArchiveReader(FileObject(io.BytesIO(data))).footer
    front = footer.index_at - RecordHead(RecordKind.INDEX, b"", footer.index_bytes).size
    # Without the footers before, which a reader would go back to.
    return Parts(data[:front].replace(FOOTER_MARK, bytes(4)), data[footer.index_at : footer.at])


def mutate(seed: int) -> Mutant:
    """The mutant of this seed."""
    choice = random.Random(seed)
    path = {0: OLD, 1: ORIGINALS}.get(seed % _OTHERS_EVERY, GOLDEN)
    sound = _sound(path)
    operator = choice.choice(_BLIND if path == OLD else (*_BLIND, *_MENDING))
    data = operator(choice, sound)
    return Mutant(seed, operator.__name__.strip("_"), operator in _MENDING, data, sound)


@cache
def _sound(path: Path) -> bytes:
    return path.read_bytes()


def judge(mutant: Mutant) -> str:
    """Open a mutant, read all its members, look through it. Raises Violation for what must not happen."""
    try:
        return _judged(mutant)
    except Violation:
        raise
    except Exception as error:
        raise Violation(f"{mutant.operator}, seed {mutant.seed}: {type(error).__name__}: {error}") from error


def _judged(mutant: Mutant) -> str:
    original = ArchiveReader(FileObject(io.BytesIO(mutant.sound)))
    streams = {original.streams(name)[0] for name in original.names}
    source = FileObject(io.BytesIO(mutant.data))
    for found in salvage(source):
        if found.stream is not None and not mutant.mended:
            _expect(source.read(found.stream.at, found.stream.length) in streams, mutant, "salvaged what never was")
    try:
        archive = ArchiveReader(source)
    except ArchiveError:
        return "refused"
    damaged = False
    for name in archive.names:
        check_name(name)
        try:
            stream, _ = archive.streams(name)
            row = archive.member(name).original
            if row is not None:
                stored = archive.stored_original(name)
                file = b"" if row.method == OriginalMethod.JPEG_XL else archive.original(name)
        except ArchiveError:
            damaged = True
            continue
        if not mutant.mended:
            _expect(name in original and stream == original.streams(name)[0], mutant, f"another photo as {name!r}")
            if row is not None:
                _expect(stored == original.stored_original(name), mutant, f"another original as {name!r}")
                _expect(not file or file == original.original(name), mutant, f"another original as {name!r}")
    return "members damaged" if damaged else "opened"


def _expect(holds: bool, mutant: Mutant, what: str) -> None:
    if not holds:
        raise Violation(f"{mutant.operator}, seed {mutant.seed}: {what}")


def _flip(choice: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(choice.choice((1, 1, 2, 10))):
        out[choice.randrange(len(out))] ^= 1 << choice.randrange(8)
    return bytes(out)


def _cut(choice: random.Random, data: bytes) -> bytes:
    return data[: choice.randrange(len(data))]


def _remove(choice: random.Random, data: bytes) -> bytes:
    start = choice.randrange(len(data))
    return data[:start] + data[start + choice.randrange(1, 200) :]


def _insert(choice: random.Random, data: bytes) -> bytes:
    at = choice.randrange(len(data) + 1)
    start = choice.randrange(len(data))
    return data[:at] + data[start : start + choice.randrange(1, 300)] + data[at:]


def _overwrite(choice: random.Random, data: bytes) -> bytes:
    at = choice.randrange(len(data))
    noise = choice.randbytes(choice.randrange(1, 64))
    return data[:at] + noise + data[at + len(noise) :]


def _append(choice: random.Random, data: bytes) -> bytes:
    return data + choice.choice((choice.randbytes(100), data, data[-FOOTER_BYTES:], data[:200]))


def _extreme(choice: random.Random, data: bytes) -> bytes:
    """A number in the place of another."""
    size = choice.choice((1, 2, 4, 8))
    number = (choice.choice(_EXTREMES) % 2 ** (8 * size)).to_bytes(size, "little")
    at = choice.randrange(max(1, len(data) - size + 1))
    return data[:at] + number + data[at + size :]


def _mended_index(choice: random.Random, data: bytes) -> bytes:
    parts = taken_apart(data)
    return replace(parts, index=_any_blind(choice, parts.index)).joined()


def _mended_section(choice: random.Random, data: bytes) -> bytes:
    parts = taken_apart(data)
    return replace(parts, index=_changed(choice, parse_sections(parts.index, IndexSection))).joined()


def _mended_tables(choice: random.Random, data: bytes) -> bytes:
    """Small numbers, most of which are sizes, widths and places."""
    parts = taken_apart(data)
    sections = parse_sections(parts.index, IndexSection)
    contents = {kind: section.content("") for kind, section in sections.items()}
    tables = bytearray(contents[IndexSection.TABLES])
    for _ in range(choice.choice((1, 1, 2, 3))):
        tables[choice.randrange(len(tables))] = choice.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF, choice.randrange(256)))
    contents[IndexSection.TABLES] = bytes(tables)
    return replace(parts, index=pack_sections(contents, plain=frozenset({IndexSection.DIGESTS}))).joined()


def _mended_footer(choice: random.Random, data: bytes) -> bytes:
    footer = parse_footer(data[-FOOTER_BYTES:], len(data) - FOOTER_BYTES)
    assert footer is not None
    near = footer.index_bytes + choice.randrange(-9, 9)
    changed = replace(footer, index_bytes=choice.choice((*_EXTREMES, choice.randrange(len(data)), near)))
    return data[:-FOOTER_BYTES].replace(FOOTER_MARK, bytes(4)) + changed.pack()


def _changed(choice: random.Random, sections: dict[int, Section]) -> bytes:
    contents = {kind: section.content(str(kind)) for kind, section in sections.items()}
    kind = choice.choice(list(contents))
    contents[kind] = _any_blind(choice, contents[kind]) if contents[kind] else choice.randbytes(choice.randrange(9))
    if choice.random() < 0.1:
        contents[choice.randrange(256)] = choice.randbytes(5)
    return pack_sections(contents, plain=frozenset(k for k, s in sections.items() if s.method == 0))


def _any_blind(choice: random.Random, data: bytes) -> bytes:
    return choice.choice(_BLIND)(choice, data) if data else data


_Operator = Callable[[random.Random, bytes], bytes]
_BLIND: tuple[_Operator, ...] = (_flip, _cut, _remove, _insert, _overwrite, _append, _extreme)
_MENDING: tuple[_Operator, ...] = (_mended_index, _mended_section, _mended_section, _mended_tables, _mended_tables)
_MENDING += (_mended_footer,)


def main() -> int:
    """Print a row for each operator; 1 if there is a violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    print_machine()
    for seed in range(10):
        judge(mutate(seed))  # what is loaded when first needed is loaded before memory is limited
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE_MEMORY, resource.RLIM_INFINITY))
    outcomes: Counter[tuple[str, str]] = Counter()
    slowest = (0.0, -1)
    for seed in range(options.first_seed, options.first_seed + options.mutants):
        mutant = mutate(seed)
        start = time.perf_counter()
        try:
            outcome = judge(mutant)
        except Violation as violation:
            print(f"VIOLATION: {violation}", flush=True)
            outcome = "violation"
        slowest = max(slowest, (time.perf_counter() - start, seed))
        outcomes[mutant.operator, outcome] += 1
    columns = ("refused", "members damaged", "opened", "violation")
    operators = sorted({operator for operator, _ in outcomes})
    print_table(["operator", *columns], [[each, *(outcomes[each, column] for column in columns)] for each in operators])
    print(f"slowest: {slowest[0]:.3f} s, seed {slowest[1]}")
    return int(any(outcome == "violation" for _, outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
