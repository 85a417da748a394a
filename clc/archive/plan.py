"""Which photos of an archive are coded alone, which are key photos, and which refer to key photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

DECIBELS_PER_STEP = 0.09
"""Of quality, about."""


class Role(StrEnum):
    """What a photo is in an archive."""

    ALONE = "alone"
    KEY = "key"  # coded alone, and others refer to it
    REFERS = "refers"


@dataclass(frozen=True)
class Plan:
    """For each photo the numbers of the key photos that it refers to; none for those that are coded alone.

    The depth is 1: what is referred to refers to nothing. Raises ValueError for a plan that is deeper, or names a photo
    that there is not.

    >>> sorted(Plan(((), (0,), (), (2, 0))).keys)
    [0, 2]
    """

    references: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for photo, keys in enumerate(self.references):
            for key in keys:
                if not 0 <= key < len(self.references) or key == photo or self.references[key]:
                    raise ValueError(f"photo {photo} refers to {key}, which is no key photo")

    @property
    def keys(self) -> frozenset[int]:
        """The photos that others refer to."""
        return frozenset(key for keys in self.references for key in keys)


@dataclass(frozen=True)
class PlannedPhoto:
    """What is to become of one photo.

    keys: names of the key photos that it refers to. finer: by how much its quality is above the others', for a key
    photo. effort: at least, of its encoder. share: bytes that it is predicted to take, of those that it would take
    alone at the others' quality.
    """

    keys: tuple[str, ...] = ()
    finer: float = 0.0
    effort: int = 0
    share: float = 1.0

    @property
    def role(self) -> Role:
        """What it is."""
        return Role.REFERS if self.keys else Role.KEY if self.finer else Role.ALONE


@dataclass(frozen=True)
class ArchivePlan:
    """What is to become of photos, by name; those that are not in it stand alone.

    costs: of all photos that were compared, about the bits of each alone, in units of their own.
    """

    photos: Mapping[str, PlannedPhoto]
    costs: Mapping[str, float]

    def __getitem__(self, name: str) -> PlannedPhoto:
        return self.photos.get(name, PlannedPhoto())


NO_PLAN = ArchivePlan({}, {})
"""Every photo stands alone."""
