"""Which photos of an archive are coded alone, which are key photos, and which refer to key photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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

    >>> plan = Plan(((), (0,), ()))
    >>> [str(plan.role(photo)) for photo in range(3)]
    ['key', 'refers', 'alone']
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

    def by_name(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The references of those photos that have some, by the names of all photos."""
        return {names[i]: tuple(names[key] for key in keys) for i, keys in enumerate(self.references) if keys}

    def role(self, photo: int) -> Role:
        """What one photo is."""
        if self.references[photo]:
            return Role.REFERS
        return Role.KEY if photo in self.keys else Role.ALONE


class Planner(Protocol):
    """Decides for a set of photos, by what it is told of each: uint8 [H, W, 3] thumbnails."""

    def __call__(self, thumbnails: Sequence[NDArray[np.uint8]]) -> Plan:
        """The plan for these photos."""


def alone(photos: int) -> Plan:
    """Every photo by itself.

    >>> alone(2)
    Plan(references=((), ()))
    """
    return Plan(((),) * photos)
