"""What the photos of an archive carry beside their pixels: EXIF, XMP, ICC profiles; all of it compressed together.

Photos of one camera say nearly the same, and an archive holds each block once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clc.archive.sections import Section, restored, transposed
from clc.codec.metadata_section import MAX_METADATA
from clc.errors import ArchiveError

_NUMBER = "<u4"


@dataclass(frozen=True, eq=False)
class Carried:
    """Blocks of bytes for N members, which are expanded when one of them is first asked for.

    which: the block of each member, from 1 on; 0 for none. lengths: of the blocks. blocks: behind each other.
    """

    members: int
    which: Section | None = None
    lengths: Section | None = None
    blocks: Section | None = None

    def __getitem__(self, member: int) -> bytes:
        """The block of a member; empty if there is none. Raises ArchiveError if what is stored makes no sense."""
        if self.which is None or self.lengths is None or self.blocks is None:
            return b""
        number = int(self._which[member])
        if number == 0:
            return b""
        if number >= len(self._ends):
            raise ArchiveError("archive is damaged: a photo carries what is not there")
        return self._content[self._ends[number - 1] : self._ends[number]]

    @cached_property
    def _which(self) -> NDArray[np.uint32]:
        assert self.which is not None, "asked for"
        return restored(self.which.content("carried", expected=4 * self.members), _NUMBER)

    @cached_property
    def _ends(self) -> list[int]:
        assert self.lengths is not None, "asked for"
        if self.lengths.size % 4 or self.lengths.size > 4 * self.members:
            raise ArchiveError(f"section carried lengths has {self.lengths.size:,} bytes")
        lengths = restored(self.lengths.content("carried lengths"), _NUMBER).astype(np.int64)
        if np.any(lengths > MAX_METADATA):
            raise ArchiveError(f"archive is damaged: a photo carries more than {MAX_METADATA:,} bytes")
        return [0, *np.cumsum(lengths).tolist()]

    @cached_property
    def _content(self) -> bytes:
        assert self.blocks is not None, "asked for"
        return self.blocks.content("carried blocks", expected=self._ends[-1])


def pack_carried(blocks: Sequence[bytes]) -> tuple[bytes, bytes, bytes] | None:
    """The blocks of all members as the three sections of `Carried`; None if no photo carries any."""
    numbers: dict[bytes, int] = {b"": 0}
    which = [numbers.setdefault(block, len(numbers)) for block in blocks]
    del numbers[b""]
    if not numbers:
        return None
    lengths = np.array([len(block) for block in numbers], np.int64)
    return transposed(np.array(which, np.int64), _NUMBER), transposed(lengths, _NUMBER), b"".join(numbers)
