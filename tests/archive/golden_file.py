"""The golden archive: written once by `python -m tests.archive.golden_file`, read for ever, so never written again.

Its pictures are lossless streams, so that it needs no model. It holds two generations: four members, of which one is
another name and one refers to two key members, and one that was added.
"""

import io
from pathlib import Path

from clc.archive.framing import Label
from clc.archive.writer import ArchiveWriter
from tests.archive.samples import SETTINGS, member, pixels, reader_of, stream_of

PATH = Path(__file__).parent / "golden" / "album.clca"
NAMES = ("a.jpg", "summer/b b.png", "summer/größer.webp", "same.tif", "added\nlater.png")
PICTURES = {name: seed for seed, name in zip((0, 1, 2, 0, 3), NAMES, strict=True)}


def _write() -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    for number, name in enumerate(NAMES[:3]):
        keys = (1, 0) if number == 2 else ()
        label = Label(SETTINGS, member(name, number, number).original_sha256, name)
        writer.add_member(member(name, writer.add_stream(stream_of(pixels(number)), label, keys), number))
    writer.add_member(member(NAMES[3], 0, 9), Label(SETTINGS, member(NAMES[3], 0, 9).original_sha256, NAMES[3]))
    writer.close()
    archive = reader_of(file.getvalue())
    adding = ArchiveWriter(file, archive, len(file.getvalue()))
    label = Label(SETTINGS, member(NAMES[4], 3, 3).original_sha256, NAMES[4])
    adding.add_member(member(NAMES[4], adding.add_stream(stream_of(pixels(3), 12.5, "fedcba9876543210"), label), 3))
    adding.close()
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(file.getvalue())


if __name__ == "__main__":
    _write()
