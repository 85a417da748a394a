"""The container: what is written is read, by few ranges; what is added leaves what was there."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clc.archive.byte_ranges import FileObject, Remote
from clc.archive.container import ArchiveReader, footers_backwards
from clc.archive.contents import MAX_PARENTS
from clc.archive.framing import (
    FOOTER_BYTES,
    FORMAT_VERSION,
    HEADER_BYTES,
    MAGIC,
    Label,
    RecordHead,
    RecordKind,
    parse_record_head,
)
from clc.archive.numbers import Cursor, pack_column
from clc.archive.writer import ArchiveWriter, locked, open_archive
from clc.errors import ArchiveError, BitstreamError
from tests.archive.samples import MODEL, WORK, archive_bytes, fill, member, pixels, reader_of, stream_of


def test_members_come_back_as_they_were_written() -> None:
    archive = reader_of(archive_bytes(range(3)))
    assert archive.names == tuple(f"folder/photo-{seed}.jpg" for seed in range(3))
    for seed, (row, stream) in enumerate(archive.members()):
        assert row == member(f"folder/photo-{seed}.jpg", seed, seed)
        assert (stream.model, stream.height, stream.width, stream.quality) == (MODEL, 6, 9, 5000)
        assert archive.streams(row.name) == (stream_of(pixels(seed)), [])
    assert archive.torn == 0


def test_an_archive_without_members_is_one() -> None:
    assert reader_of(archive_bytes([])).names == ()


def test_it_is_written_to_what_cannot_seek() -> None:
    """`cat` reads a pipe from its other end."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pipe:
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        writer = ArchiveWriter(pipe.stdin)
        fill(writer, range(4))
        writer.close()
        pipe.stdin.close()
        assert pipe.stdout.read() == archive_bytes(range(4))


def test_what_one_photo_costs_beside_its_stream() -> None:
    def overhead(count: int) -> int:
        data = archive_bytes(range(count))
        return len(data) - sum(row.extent.length for _, row in reader_of(data).members())

    name = len("folder/photo-999.jpg")
    # Digests, head of the record, name, and the rest: length, original bytes, time, the name again.
    assert (overhead(600) - overhead(100)) / 500 < 48 + 20 + name + 6


class CountingRanges(FileObject):
    """Counts what is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.reads: list[int] = []

    def read(self, at: int, length: int) -> bytes:
        self.reads.append(length)
        return super().read(at, length)


def test_opening_takes_two_ranges_and_a_photo_one_more() -> None:
    ranges = CountingRanges(archive_bytes(range(300)))
    archive = ArchiveReader(ranges)
    assert len(ranges.reads) == 2
    archive.streams("folder/photo-7.jpg")
    assert ranges.reads[2:] == [len(stream_of(pixels(7)))]


def test_a_large_index_takes_one_range_more() -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    number = writer.add_stream(stream_of(pixels(0)), Label(WORK, "x"))
    for seed in range(3000):
        writer.add_member(member(f"{seed}.jpg", number, seed))
    writer.close()
    ranges = CountingRanges(file.getvalue())
    archive = ArchiveReader(ranges)
    assert len(archive.names) == 3000
    assert len(ranges.reads) <= 4


def test_it_is_read_from_a_url(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://albums/a.clca", "wb") as file:
        file.write(archive_bytes(range(2)))
    archive = ArchiveReader(Remote("memory://albums/a.clca"))
    assert archive.streams("folder/photo-1.jpg")[0] == stream_of(pixels(1))
    with pytest.raises(ArchiveError, match="cannot be read"):
        Remote("memory://albums/none.clca")


class TestKeys:
    def write(self, *parents: tuple[int, ...]) -> ArchiveReader:
        file = io.BytesIO()
        writer = ArchiveWriter(file)
        for seed, keys in enumerate(parents):
            number = writer.add_stream(stream_of(pixels(seed)), Label(WORK, str(seed)), keys)
            writer.add_member(member(str(seed), number, seed))
        writer.close()
        return reader_of(file.getvalue())

    def test_a_member_comes_with_what_it_refers_to(self) -> None:
        archive = self.write((), (), (1, 0), (1,))
        assert archive.streams("2") == (stream_of(pixels(2)), [stream_of(pixels(1)), stream_of(pixels(0))])
        assert archive.streams("3")[1] == [stream_of(pixels(1))]
        assert archive.streams("1")[1] == []

    @pytest.mark.parametrize("wrong", [[(), (1,)], [(), (2,)], [(), (0,), (1,)], [(), (0, 0)]])
    def test_they_come_before_it_once_and_refer_to_none(self, wrong: list[tuple[int, ...]]) -> None:
        with pytest.raises(ArchiveError, match="key photos"):
            self.write(*wrong)

    def test_there_are_at_most_five(self) -> None:
        keys = tuple(range(MAX_PARENTS))
        assert self.write(*[()] * (MAX_PARENTS + 1), keys).stream_row(str(MAX_PARENTS + 1)).parents == keys
        with pytest.raises(ArchiveError, match="at most 5"):
            self.write(*[()] * (MAX_PARENTS + 1), tuple(range(MAX_PARENTS + 1)))


class TestWriting:
    def test_a_name_is_taken_once(self) -> None:
        writer = ArchiveWriter(io.BytesIO())
        fill(writer, [1])
        with pytest.raises(ArchiveError, match=r"called folder/photo-1\.jpg already"):
            writer.add_member(member("folder/photo-1.jpg", 0, 2))

    @pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\0b", "x" * 5000, "\udcff.jpg"])
    def test_names_stay_in_their_folder(self, name: str) -> None:
        writer = ArchiveWriter(io.BytesIO())
        fill(writer, [1])
        with pytest.raises(ArchiveError, match="name"):
            writer.add_member(member(name, 0, 2))

    def test_what_is_no_stream_is_refused_before_anything_is_written(self) -> None:
        file = io.BytesIO()
        writer = ArchiveWriter(file)
        with pytest.raises(BitstreamError):
            writer.add_stream(b"CLC no stream", Label(WORK, "a"))
        assert len(file.getvalue()) == HEADER_BYTES

    def test_a_full_disk_is_an_error(self) -> None:
        class Full(io.BytesIO):
            def write(self, data: bytes) -> int:  # type: ignore[override]
                if self.tell() + len(data) > 1000:
                    raise OSError(28, "No space left on device")
                return super().write(data)

        file = Full()
        writer = ArchiveWriter(file)
        with pytest.raises(OSError, match="No space"):
            fill(writer, range(10))
        with pytest.raises(ArchiveError, match="no whole index"):
            reader_of(file.getvalue())


class TestAdding:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.clca"
        path.write_bytes(archive_bytes(range(3)))
        return path

    def add(self, path: Path, seeds: range) -> None:
        with locked(path) as file:
            archive = open_archive(path)
            writer = ArchiveWriter(file, archive, archive.source.size)
            fill(writer, seeds)
            writer.close()

    def test_what_was_there_stays_byte_for_byte(self, path: Path) -> None:
        before = path.read_bytes()
        self.add(path, range(3, 5))
        assert path.read_bytes()[: len(before)] == before
        archive = open_archive(path)
        assert archive.names == tuple(f"folder/photo-{seed}.jpg" for seed in range(5))
        assert all(archive.streams(name)[0] == stream_of(pixels(seed)) for seed, name in enumerate(archive.names))
        assert [footer.end for footer in footers_backwards(archive.source)] == [len(path.read_bytes()), len(before)]

    def test_torn_anywhere_it_is_the_old_archive(self, path: Path) -> None:
        before = path.read_bytes()
        self.add(path, range(3, 5))
        after = path.read_bytes()
        for end in range(len(before), len(after)):
            archive = reader_of(after[:end])
            assert len(archive.names) == 3
            assert archive.torn == end - len(before)
        assert len(reader_of(after).names) == 5

    def test_torn_twice_it_goes_on_behind(self, path: Path) -> None:
        before = len(path.read_bytes())
        for _ in range(2):
            self.add(path, range(3, 5))
            torn = path.read_bytes()[:-40]
            path.write_bytes(torn)
            assert len(open_archive(path).names) == 3
        self.add(path, range(5, 6))
        archive = open_archive(path)
        assert archive.names[3:] == ("folder/photo-5.jpg",)
        assert archive.torn == 0
        assert path.read_bytes()[: len(torn)] == torn
        assert before < len(torn)

    def test_two_at_once_are_refused(self, path: Path) -> None:
        with locked(path):
            script = (
                f"from pathlib import Path; from clc.archive.writer import locked\nwith locked(Path({str(path)!r})): 1"
            )
            other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
            assert "another process is writing to it" in other.stderr
            with pytest.raises(ArchiveError, match="another process"), locked(path):
                pass
        self.add(path, range(3, 4))

    def test_where_nothing_can_be_locked_archives_are_read_but_not_written(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
        with pytest.raises(ArchiveError, match="use Linux, macOS or WSL"), locked(path):
            pass
        assert len(open_archive(path).names) == 3

    def test_an_old_index_is_not_taken_for_the_new_one_where_a_mark_is_in_a_picture(self, path: Path) -> None:
        """A footer counts only where it says that it lies."""
        data = path.read_bytes()
        shifted = data + data[-FOOTER_BYTES:]
        archive = reader_of(shifted)
        assert archive.footer.end == len(data)


class TestDamage:
    def test_a_flipped_bit_in_a_photo_is_its_error_alone(self) -> None:
        data = bytearray(archive_bytes(range(3)))
        row = reader_of(bytes(data)).stream_row("folder/photo-1.jpg")
        data[row.extent.at + 40] ^= 1
        archive = reader_of(bytes(data))
        with pytest.raises(ArchiveError, match=r"photo-1\.jpg is damaged.*--salvage"):
            archive.streams("folder/photo-1.jpg")
        assert archive.streams("folder/photo-2.jpg")[0] == stream_of(pixels(2))

    @pytest.mark.parametrize("data", [b"", b"CLC\6", MAGIC, MAGIC + b"\1" + bytes(7)])
    def test_what_is_no_archive_is_refused(self, data: bytes) -> None:
        with pytest.raises(ArchiveError):
            reader_of(data)

    def test_a_newer_version_says_so(self) -> None:
        data = bytearray(archive_bytes())
        data[len(MAGIC)] = FORMAT_VERSION + 1
        with pytest.raises(ArchiveError, match="newer version of CLC"):
            reader_of(bytes(data))

    def test_every_byte_of_index_and_footer_counts(self) -> None:
        data = archive_bytes(range(2))
        archive = reader_of(data)
        for position in range(archive.footer.index_at, len(data)):
            changed = bytearray(data)
            changed[position] ^= 0x10
            with pytest.raises(ArchiveError):
                reader_of(bytes(changed))


class TestNumbers:
    @pytest.mark.parametrize(
        "numbers",
        [
            [],
            [0],
            [-(2**63)],
            [2**63 - 1, -(2**63)],
            [5] * 9,
            [*range(300)],
            [1_700_000_000_000_000_000 + 2_000_000_000 * step for step in (4, 0, 7, 7)],
            [3, 1, 2**40, 7],
        ],
    )
    def test_a_column_comes_back(self, numbers: list[int]) -> None:
        column = Cursor(pack_column(np.array(numbers, np.int64)), "column")
        assert column.column(len(numbers)).tolist() == numbers
        column.end()

    def test_what_is_constant_or_rises_evenly_takes_a_few_bytes(self) -> None:
        assert len(pack_column(np.full(10_000, 7))) == 2
        assert len(pack_column(np.arange(10_000))) == 3

    @pytest.mark.parametrize("data", [b"", b"\x09\0", b"\x40\0", b"\1\0", b"\1\0\1", b"\0" + b"\xff" * 10, b"\x20\0"])
    def test_what_is_no_column_is_refused(self, data: bytes) -> None:
        with pytest.raises(ArchiveError, match="column"):
            Cursor(data, "column").column(2)


class TestHeads:
    def test_a_head_comes_back_and_what_is_cut_or_changed_is_none(self) -> None:
        label = Label(WORK, "a name", (16, 70_000))
        packed = RecordHead(label.kind, label.pack(), 2**40).pack()
        head = parse_record_head(packed + b"content")
        assert head is not None
        assert head == RecordHead(RecordKind.REFERRING, label.pack(), 2**40)
        assert (head.size, Label.parse(head)) == (len(packed), label)
        assert all(parse_record_head(packed[:end]) is None for end in range(len(packed)))
        for position in range(len(packed)):
            changed = bytearray(packed)
            changed[position] ^= 1
            assert parse_record_head(bytes(changed)) is None

    @pytest.mark.parametrize("keys", [b"\xff\xff\3", b"\5\1\2", b""])
    def test_a_label_that_promises_more_keys_than_it_has_is_none(self, keys: bytes) -> None:
        assert Label.parse(RecordHead(RecordKind.REFERRING, WORK + keys, 0)) is None
