"""The pictures of an archive: each key photo with the photos that refer to it, and those that stand alone."""

from dataclasses import dataclass

from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow, StreamRow
from clc.archive.plan import ArchivePlan


@dataclass(frozen=True)
class Picture:
    """A stream, and the members that show it: the first is the one that it was made of.

    others: names of key photos that it refers to beside that of its group.
    """

    row: StreamRow
    members: tuple[MemberRow, ...]
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the first member."""
        return self.members[0].name

    @property
    def bytes(self) -> int:
        """Of its stream."""
        return self.row.extent.length

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.row.height * self.row.width


@dataclass(frozen=True)
class Group:
    """A key photo, and the pictures whose first reference it is."""

    key: Picture
    pictures: tuple[Picture, ...]

    @property
    def referring_bytes(self) -> int:
        """Of the pictures, the key photo apart."""
        return sum(picture.bytes for picture in self.pictures)


@dataclass(frozen=True)
class Grouped:
    """All pictures of an archive, each once. groups: the largest first."""

    groups: tuple[Group, ...]
    alone: tuple[Picture, ...]

    @property
    def pictures(self) -> list[Picture]:
        """Group by group, then those that stand alone."""
        related = [each for group in self.groups for each in (group.key, *group.pictures)]
        return [*related, *self.alone]


def grouped(archive: ArchiveReader) -> Grouped:
    """Sort the pictures of an archive by what they refer to."""
    members: dict[int, list[MemberRow]] = {}
    for member, _ in archive.members():
        members.setdefault(member.stream, []).append(member)
    rows = {number: archive.index.stream(number) for number in sorted(members)}
    referring: dict[int, list[Picture]] = {}
    for number, row in rows.items():
        keys = [key for key in row.parents if key in members]
        if keys:
            others = tuple(members[key][0].name for key in keys[1:])
            referring.setdefault(keys[0], []).append(Picture(row, tuple(members[number]), others))
    named = {picture.name for pictures in referring.values() for picture in pictures}
    groups = [Group(Picture(rows[key], tuple(members[key])), tuple(each)) for key, each in referring.items()]
    groups.sort(key=lambda group: (-len(group.pictures), group.key.row.extent.at))
    named |= {group.key.name for group in groups}
    alone = (Picture(row, tuple(members[number])) for number, row in rows.items())
    return Grouped(tuple(groups), tuple(picture for picture in alone if picture.name not in named))


def predicted_alone(group: Group, plan: ArchivePlan) -> float | None:
    """Bytes of the pictures that refer to a key photo if each were coded alone; None if the plan does not tell.

    The plan says how much more than alone the key photo takes, being finer, and what the pictures cost beside it. On
    four scenes of reference photos, with the model `tiny`, that was within 5 %.
    """
    names = [group.key.name, *(picture.name for picture in group.pictures)]
    if not all(plan.costs.get(name) for name in names):
        return None
    key, *others = (plan.costs[name] for name in names)
    return group.key.bytes / plan[group.key.name].share * sum(others) / key
