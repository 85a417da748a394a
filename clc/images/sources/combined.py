"""Several photo sources as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clc.images.photo import EncodedPhoto, PhotoSource


@dataclass(frozen=True)
class CombinedPhotos:
    """The photos of one source after those of another. Readers refuse two photos with one image_id."""

    sources: Sequence[PhotoSource]

    @property
    def spec(self) -> str:
        """The sources as the user wrote them."""
        return ", ".join(source.spec for source in self.sources)

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if one of the sources cannot be read."""
        yield from islice((photo for source in self.sources for photo in source.encoded()), start, stop)
