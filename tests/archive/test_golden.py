"""An archive that was written long ago reads as it did then."""

import hashlib

from clc.archive.writer import open_archive
from tests.archive.golden_file import NAMES, PATH, PICTURES
from tests.archive.samples import LosslessDecoder, member, pixels


def test_the_golden_archive_reads() -> None:
    archive = open_archive(PATH)
    assert archive.names == NAMES
    for name, seed in PICTURES.items():
        stream, _ = archive.streams(name)
        assert (pixels(seed) == LosslessDecoder().decode(stream, [])).all()
    assert archive.stream_row("summer/größer.webp").parents == (1, 0)
    assert archive.member("same.tif") == member("same.tif", 0, 9)
    assert archive.index.models == ("0123456789abcdef", "fedcba9876543210")
    assert archive.stream_row("added\nlater.png").quality == 1250
    assert archive.torn == 0


def test_the_golden_file_is_that_of_format_version_1() -> None:
    digest = hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert digest == "c9154acec48ece90011dcf21b81ad6fd47a0ff2db73a97c24e5ebcdb17781ea8"
