"""What the photos of an archive carry beside their pixels: EXIF, XMP, ICC profiles; all of it compressed together.

Photos of one camera say nearly the same, and an archive holds each block once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clc.archive.numbers import Cursor, pack_column, pack_varint
from clc.archive.sections import Section
from clc.codec.metadata_section import MAX_METADATA
from clc.errors import ArchiveError


@dataclass(frozen=True, eq=False)
class Carried:
    """Blocks of bytes for members, which are expanded when one of them is first asked for.

    which: the number of the block of each member, from 1 on, or 0 for none. lengths: of the blocks. blocks: behind each
    other; None if there are none.
    Raises ArchiveError if these do not agree.
    """

    which: NDArray[np.int64]
    lengths: NDArray[np.int64]
    blocks: Section | None = None

    def __post_init__(self) -> None:
        if np.any((self.lengths > MAX_METADATA) | (self.lengths < 0)):
            raise ArchiveError(f"archive is damaged: a photo carries more than {MAX_METADATA:,} bytes")
        if len(self.lengths) > len(self.which):
            raise ArchiveError("archive is damaged: it carries more than it has photos")
        if np.any((self.which < 0) | (self.which > len(self.lengths))):
            raise ArchiveError("archive is damaged: a photo carries what is not there")
        if (0 if self.blocks is None else self.blocks.size) != self.lengths.sum():
            raise ArchiveError("archive is damaged: what its photos carry is not as long as it should be")

    def __getitem__(self, member: int) -> bytes:
        """The block of a member; empty if there is none. Raises ArchiveError if the blocks are damaged."""
        number = int(self.which[member])
        return self._content[self._ends[number - 1] : self._ends[number]] if number else b""

    @cached_property
    def _ends(self) -> list[int]:
        return [0, *np.cumsum(self.lengths).tolist()]

    @cached_property
    def _content(self) -> bytes:
        return b"" if self.blocks is None else self.blocks.content("carried blocks")


def pack_carried(blocks: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The blocks of all members as two sections, their table and the blocks; None if no photo carries any."""
    numbers: dict[bytes, int] = {b"": 0}
    which = [numbers.setdefault(block, len(numbers)) for block in blocks]
    del numbers[b""]
    if not numbers:
        return None
    lengths = np.array([len(block) for block in numbers])
    return pack_varint(len(lengths)) + pack_column(np.array(which)) + pack_column(lengths), b"".join(numbers)


def parse_carried(table: Section | None, blocks: Section | None, members: int) -> Carried:
    """The inverse of `pack_carried`; for sections that are not there, nothing is carried. Raises ArchiveError."""
    if table is None:
        return Carried(np.zeros(members, np.int64), np.zeros(0, np.int64), blocks)
    fields = Cursor(table.content("carried"), "archive is damaged: section carried")
    count = fields.varint(members)
    which, lengths = fields.column(members), fields.column(count)
    fields.end()
    return Carried(which, lengths, blocks)
