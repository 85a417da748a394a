"""The golden archives: written once by `python -m tests.archive.golden_file`, read for ever, so never written again.

Their pictures are lossless streams, so that they need no model. Each holds two generations: four members, of which one
is another name and one refers to two key members, and one that was added. `version-1.clca` was written by a release
that wrote format version 1. `originals.clca` has three members whose original files are kept, each in another way.
"""

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from clc.archive.contents import MemberRow, sha256
from clc.archive.framing import FORMAT_VERSION, Label
from clc.archive.originals import pack_original
from clc.archive.writer import ArchiveWriter
from clc.codec.metadata_section import pack_items
from clc.images.metadata import Metadata
from tests.archive.samples import WORK, member, pixels, reader_of, stream_of

FOLDER = Path(__file__).parent / "golden"
VERSIONS = (1, 2)
PATH = FOLDER / f"version-{FORMAT_VERSION}.clca"
NAMES = ("a.jpg", "summer/b b.png", "summer/größer.webp", "same.tif", "added\nlater.png")
PICTURES = {name: seed for seed, name in zip((0, 1, 2, 0, 3), NAMES, strict=True)}
_XMP = (b"", b"", b"<x:xmpmeta>5</x:xmpmeta>", b"<x:xmpmeta>7</x:xmpmeta>", b"<x:xmpmeta>5</x:xmpmeta>")
CARRIED = {name: pack_items(Metadata(xmp=xmp or None)) for name, xmp in zip(NAMES, _XMP, strict=True)}
"""Since version 2."""


def row(name: str, stream: int, seed: int) -> MemberRow:
    return replace(member(name, stream, seed), carried=CARRIED[name])


ORIGINALS = FOLDER / "originals.clca"
ORIGINAL_NAMES = ("a.jpg", "b.png", "c.bmp")


def original_files() -> list[bytes]:
    """What is kept, but the JPEG file, which other releases of the library might write in another way."""
    file = io.BytesIO()
    Image.new("RGB", (60, 60), "navy").save(file, "BMP")
    return [bytes(range(200)), file.getvalue()]


def _write_originals() -> None:
    jpeg, file = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels(0, 64, 64)).save(jpeg, "JPEG", quality=80)
    writer = ArchiveWriter(file)
    writer.begin(b"settings")
    for number, (name, data) in enumerate(zip(ORIGINAL_NAMES, (jpeg.getvalue(), *original_files()), strict=True)):
        stream = writer.add_stream(stream_of(pixels(number)), Label(WORK, name))
        kept = writer.add_original(*pack_original(data), sha256(data), name)
        member = MemberRow(name, stream, sha256(data), len(data), original=kept)
        writer.add_member(member)
    writer.close()
    with ORIGINALS.open("xb") as golden:
        golden.write(file.getvalue())


def _write() -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    writer.begin(b"settings of the first run")
    for number, name in enumerate(NAMES[:3]):
        keys = (1, 0) if number == 2 else ()
        writer.add_member(row(name, writer.add_stream(stream_of(pixels(number)), Label(WORK, name), keys), number))
    writer.add_member(row(NAMES[3], 0, 9), Label(WORK, NAMES[3]))
    writer.close()
    archive = reader_of(file.getvalue())
    adding = ArchiveWriter(file, archive, len(file.getvalue()))
    adding.begin(b"settings of the second run")
    added = stream_of(pixels(3), 12.5, "fedcba9876543210")
    adding.add_member(row(NAMES[4], adding.add_stream(added, Label(WORK, NAMES[4])), 3))
    adding.close()
    with PATH.open("xb") as golden:
        golden.write(file.getvalue())


if __name__ == "__main__":
    if not PATH.exists():
        _write()
    if not ORIGINALS.exists():
        _write_originals()
