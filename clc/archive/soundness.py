"""Is an archive what was written, byte for byte, and does every photo in it decode?"""

from collections.abc import Iterator

from clc.archive.album import StreamDecoder
from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow
from clc.archive.names import printable
from clc.errors import ClcError


def verify_archive(archive: ArchiveReader, decoder: StreamDecoder | None = None) -> Iterator[tuple[str, str]]:
    """For each member its name and what is wrong with it, "" for one that is whole.

    The index and the metadata were compared with their hashes when the archive was opened; here, each stream is with
    its own, and so is each original. decoder: decode all of them too, each stream once, and unpack the originals, which
    raises as `jpeg_transcoder`.
    """
    seen: dict[int, str] = {}
    for member, _ in archive.members():
        if member.stream not in seen:
            seen[member.stream] = _problem(archive, member.name, decoder)
        yield member.name, seen[member.stream] or _problem_of_original(archive, member, decoder is not None)


def _problem_of_original(archive: ArchiveReader, member: MemberRow, unpack: bool) -> str:
    try:
        if member.original is not None:
            archive.original(member.name) if unpack else archive.stored_original(member.name)
    except ClcError as error:
        return str(error)
    return ""


def _problem(archive: ArchiveReader, name: str, decoder: StreamDecoder | None) -> str:
    try:
        stream, keys = archive.streams(name)
        if decoder is None:
            return ""
        picture = decoder.decode(stream, keys)
        row = archive.stream_row(name)
        if picture.size != (row.width, row.height):
            return f"{printable(name)}: the index says {row.width}x{row.height}, it is {picture.width}x{picture.height}"
    except ClcError as error:
        return str(error)
    return ""
