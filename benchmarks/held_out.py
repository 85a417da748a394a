"""A source of photos in two parts: every third photo, which is coded, and the others, which it may refer to."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from clc.images import EncodedPhoto, PhotoSource

_EVERY = 3


@dataclass(frozen=True)
class Part:
    """A part of a source, itself a `clc.images.PhotoSource`.

    held_out: the second of each three photos, which lies between the others; else those others.
    limit: the first so many of the part; None for all.
    """

    source: PhotoSource
    held_out: bool
    limit: int | None = None

    @property
    def spec(self) -> str:
        """The source's, and which part of it."""
        return f"{self.source.spec}, {'every third photo' if self.held_out else 'but for every third photo'}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """As of any source; positions are those in the part. Raises what the source raises."""
        numbered = enumerate(self.source.encoded())
        part = (photo for place, photo in numbered if (place % _EVERY == 1) is self.held_out)
        return islice(islice(part, self.limit), start, stop)
