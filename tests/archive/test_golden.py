"""Archives that were written long ago read as they did then."""

import hashlib
import io
import shutil
from pathlib import Path

import pytest

from clc.archive.byte_ranges import FileObject
from clc.archive.framing import Label
from clc.archive.originals import OriginalMethod
from clc.archive.records import salvage
from clc.archive.writer import ArchiveWriter, locked, open_archive
from tests.archive.golden_file import (
    CARRIED,
    FOLDER,
    NAMES,
    ORIGINAL_NAMES,
    ORIGINALS,
    PICTURES,
    VERSIONS,
    original_files,
)
from tests.archive.samples import WORK, LosslessDecoder, member, pixels, reader_of, stream_of

DIGESTS = {
    1: "c9154acec48ece90011dcf21b81ad6fd47a0ff2db73a97c24e5ebcdb17781ea8",
    2: "9d1c93c4a1791f26510bd8c06e107d5ef63d03061d8f8cb9a2f6b340297acfd1",
}
DIGEST_OF_ORIGINALS = "f62e91386685f0471b016f400ada81a3769cac41cb562c953fa0a517f4634942"


def golden(version: int) -> Path:
    return FOLDER / f"version-{version}.clca"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_archive_reads(version: int) -> None:
    archive = open_archive(golden(version))
    assert archive.footer.version == version
    assert archive.names == NAMES
    for name, seed in PICTURES.items():
        stream, _ = archive.streams(name)
        assert (pixels(seed) == LosslessDecoder().decode(stream, [])).all()
        assert archive.member(name).carried == (CARRIED[name] if version > 1 else b"")
    assert archive.stream_row("summer/größer.webp").parents == (1, 0)
    assert archive.member("a.jpg") == member("a.jpg", 0, 0)
    assert archive.index.models == ("0123456789abcdef", "fedcba9876543210")
    assert archive.stream_row("added\nlater.png").quality == 1250
    assert archive.torn == 0


def test_golden_originals_come_back() -> None:
    archive = open_archive(ORIGINALS)
    rows = [archive.member(name).original for name in ORIGINAL_NAMES]
    assert [row and row.method for row in rows] == [OriginalMethod.JPEG_XL, OriginalMethod.PLAIN, OriginalMethod.ZSTD]
    assert [archive.original(name) for name in ORIGINAL_NAMES[1:]] == original_files()
    assert hashlib.sha256(ORIGINALS.read_bytes()).hexdigest() == DIGEST_OF_ORIGINALS
    pytest.importorskip("imagecodecs")
    assert archive.original("a.jpg").startswith(b"\xff\xd8")


@pytest.mark.parametrize("version", VERSIONS)
def test_its_members_are_found_without_the_index(version: int) -> None:
    archive = open_archive(golden(version))
    cut = golden(version).read_bytes()[: archive.footer.index_at].replace(b"\x93CLF", bytes(4))
    found = {each.name: each for each in salvage(FileObject(io.BytesIO(cut)))}
    assert set(found) == set(NAMES)
    for name, each in found.items():
        assert each.stream == archive.stream_row(name).extent
        if version > 1:  # when the first was written, records did not say so
            assert each.keys == tuple(archive.index.stream(key).extent for key in archive.stream_row(name).parents)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_golden_file_is_that_of_its_version(version: int) -> None:
    assert hashlib.sha256(golden(version).read_bytes()).hexdigest() == DIGESTS[version]


def test_what_is_added_to_an_old_archive_is_of_the_new_version_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "old.clca"
    shutil.copy(golden(1), path)
    before = path.read_bytes()
    with locked(path) as file:
        old = open_archive(path)
        writer = ArchiveWriter(file, old, old.source.size)
        writer.add_member(member("new", writer.add_stream(stream_of(pixels(7)), Label(WORK, "new"), (1,)), 7))
        writer.close()
    assert path.read_bytes()[: len(before)] == before
    archive = open_archive(path)
    assert (archive.footer.version, archive.names) == (2, (*NAMES, "new"))
    for name in NAMES:
        assert archive.member(name) == old.member(name)
        assert archive.streams(name) == old.streams(name)
    assert archive.streams("new") == (stream_of(pixels(7)), [stream_of(pixels(1))])
    torn = reader_of(path.read_bytes()[:-1])
    assert torn.names == NAMES
    assert {each.name for each in salvage(torn.source)} == {*NAMES, "new"}
