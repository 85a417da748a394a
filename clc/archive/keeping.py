"""Keeping the original files of what is packed: each once, packed beside the coding, gone on with if that stopped."""

from contextlib import suppress

from clc.archive.byte_ranges import ByteRanges
from clc.archive.container import ArchiveReader
from clc.archive.contents import OriginalRow, sha256
from clc.archive.framing import WORK_KEY_BYTES
from clc.archive.names import printable
from clc.archive.opened import Opened
from clc.archive.originals import DIGEST_BYTES, jpeg_transcoder, pack_original, unpack_original
from clc.archive.records import whole_originals
from clc.archive.writer import ArchiveWriter
from clc.errors import ArchiveError, ImageError

PackedOriginal = OriginalRow | tuple[int, bytes]
"""One that is in the file already, or the method and the bytes of one that is not."""


class OriginalKeeper:
    """Decides whose file is kept, packs it, and writes it.

    archive: to which photos are added. left: the file of an interrupted run, with its originals from `start` on.
    Raises as `jpeg_transcoder`.
    """

    def __init__(self, archive: ArchiveReader | None = None, left: ByteRanges | None = None, start: int = 0) -> None:
        jpeg_transcoder()  # asked for before anything is packed
        self._left = left
        self._found = {each.work: each for each in whole_originals(left, start)} if left is not None else {}
        self._rows: dict[bytes, OriginalRow | None] = {}  # by the SHA-256 of files; None for one that is on its way
        for member, _ in [] if archive is None else archive.members():
            if member.original is not None:
                self._rows[member.original_sha256] = member.original

    @property
    def end(self) -> int:
        """Where the last original ends that an interrupted run left; 0 if there is none."""
        return max((each.extent.end for each in self._found.values()), default=0)

    def wants(self, opened: Opened) -> bool:
        """Whether this is the first photo that is made from its file. To be called for one after the other."""
        if opened.sha256 in self._rows:
            return False
        self._rows[opened.sha256] = None
        return True

    def packed(self, opened: Opened) -> PackedOriginal:
        """The file of a photo. On any thread. Raises ImageError if it is not what was opened any more."""
        found = self._found.get(opened.sha256[:WORK_KEY_BYTES])
        if found is not None and self._left is not None:
            stored = self._left.read(found.extent.at, found.extent.length)
            with suppress(ArchiveError):
                unpack_original(found.method, stored, opened.size, opened.sha256)
                return OriginalRow(found.extent, found.method, sha256(stored)[:DIGEST_BYTES])
        data = opened.photo.read()
        if sha256(data) != opened.sha256:
            raise ImageError(f"{printable(opened.photo.name)}: changed while it was packed; run the same command again")
        return pack_original(data)

    def kept(self, opened: Opened, packed: PackedOriginal | None, writer: ArchiveWriter) -> OriginalRow | None:
        """Where the file of a photo lies, which is written if need be. Raises OSError if that fails."""
        if packed is not None:
            row = (
                packed
                if isinstance(packed, OriginalRow)
                else writer.add_original(*packed, opened.sha256, opened.photo.name)
            )
            self._rows[opened.sha256] = row
        return self._rows.get(opened.sha256)
