"""Aliases: movable names for versions, with their whole history.

A revision of an alias is a numbered file that is created exclusively and never changed: whoever creates number n+1
has moved the alias from revision n (compare-and-swap), and the files are the history.
"""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from clc.errors import AliasConflictError, CorruptArtifactError, MissingArtifactError, StoreError
from clc.store.kind import Kind
from clc.store.layout import ALIAS_REVISION, alias_path, aliases_directory
from clc.store.version import Version

if TYPE_CHECKING:
    from clc.store.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEX_ID = re.compile(r"[0-9a-f]{4,64}")


class AliasRevision(BaseModel, frozen=True, extra="forbid"):
    """One position of an alias. `restores` is set by a rollback: the revision whose target this one repeats.

    note: why it was moved, for people.

    >>> first = AliasRevision(kind=Kind.MODEL, name="latest", revision=1, id="0" * 64, created_at="2026-01-01")
    >>> AliasRevision.model_validate_json(first.model_dump_json()) == first
    True
    """

    kind: Kind
    name: str
    revision: int = Field(ge=1)
    id: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: str
    restores: int | None = None
    note: str | None = None


class Aliases:
    """The aliases of a store (`Store.aliases`).

    >>> import numpy as np
    >>> from clc.store import Kind, Recipe, Store
    >>> store = Store("memory://alias-example")
    >>> def train(seed):
    ...     with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={"seed": seed})) as draft:
    ...         draft.tensors("weights", {"bias": np.full(1, seed)})
    ...         return draft.publish()
    >>> old, new = train(1), train(2)
    >>> store.aliases.set(Kind.MODEL, "production", old).revision
    1
    >>> store.aliases.set(Kind.MODEL, "production", new, expected=1).revision
    2
    >>> store.aliases.rollback(Kind.MODEL, "production").id == old.id
    True
    >>> store.get(Kind.MODEL, "production") == old
    True
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._storage = store.storage

    def set(
        self,
        kind: Kind,
        name: str,
        version: Version | str,
        expected: int | None = None,
        note: str | None = None,
    ) -> AliasRevision:
        """Point an alias to a version (or a reference to one) and return the revision that says so, and why (`note`).

        `expected` is the revision number that the caller decided on, 0 for "does not exist yet"; None means "whatever
        it is now". An alias that already points there gets no new revision, unless for another reason.
        Raises MissingArtifactError if the version is not in the store, AliasConflictError if the alias moved
        meanwhile, StoreError if the name is malformed.
        """
        _check_name(name)
        target = self._store.get(kind, version.ref if isinstance(version, Version) else version)
        return self._append(kind, name, target, self._current(kind, name), expected, note=note)

    def resolve(self, kind: Kind, name: str) -> Version:
        """Return the version that an alias points to. Raises MissingArtifactError if alias or version is missing."""
        current = self._existing(kind, name)
        try:
            return self._store.get(kind, current.id)
        except MissingArtifactError as error:
            raise MissingArtifactError(
                f"alias {name!r} points to {kind}/{current.id}, which is not in {self._store.url}; import that "
                f"version, or move the alias: `clc {kind} list` shows what is there"
            ) from error

    def history(self, kind: Kind, name: str) -> tuple[AliasRevision, ...]:
        """Return all revisions, oldest first. Raises MissingArtifactError if there is no such alias."""
        _check_name(name)
        numbers = self._numbers(kind, name)
        if not numbers:
            raise self._missing(kind, name)
        return tuple(self._read(kind, name, number) for number in numbers)

    def rollback(self, kind: Kind, name: str, expected: int | None = None) -> AliasRevision:
        """Append a revision that repeats the target before the current one; repeated rollbacks go further back.

        Raises MissingArtifactError if there is nothing to go back to, AliasConflictError as `set`.
        """
        current = self._existing(kind, name)
        position = (current.restores or current.revision) - 1
        if position < 1:
            raise MissingArtifactError(f"alias {name!r} of {kind} has no earlier target to roll back to")
        previous = self._read(kind, name, position)
        target = self._store.get(kind, previous.id)
        return self._append(kind, name, target, current, expected, restores=previous.restores or position)

    def held(self, kind: Kind) -> dict[str, str]:
        """Return by id which alias keeps a version from being collected, and how.

        An alias holds what it points to, and what a rollback would make it point to.
        """
        held: dict[str, str] = {}
        aliases = self.list(kind)
        for name, current in aliases.items():
            earlier = (current.restores or current.revision) - 1
            if earlier >= 1:
                held.setdefault(self._read(kind, name, earlier).id, f"rollback of alias {name}")
        for name, current in aliases.items():
            held[current.id] = f"alias {name}"
        return held

    def list(self, kind: Kind) -> dict[str, AliasRevision]:
        """Return the current revision of every alias of a kind, by name."""
        names = self._storage.names(aliases_directory(kind))
        current = {name: self._current(kind, name) for name in names if _NAME.fullmatch(name)}
        return {name: revision for name, revision in current.items() if revision is not None}

    def _append(
        self,
        kind: Kind,
        name: str,
        target: Version,
        current: AliasRevision | None,
        expected: int | None,
        restores: int | None = None,
        note: str | None = None,
    ) -> AliasRevision:
        if current is not None and current.id == target.id and note in (None, current.note):
            return current
        number = current.revision if current else 0
        if expected is not None and expected != number:
            raise _conflict(kind, name, f"is at revision {number}, not {expected}")
        revision = AliasRevision(
            kind=kind,
            name=name,
            revision=number + 1,
            id=target.id,
            created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            restores=restores,
            note=note,
        )
        data = json.dumps(revision.model_dump(mode="json"), indent=2).encode()
        if self._storage.create(alias_path(kind, name, revision.revision), data):
            return revision
        winner = self._read(kind, name, revision.revision)
        if winner.id == target.id:
            return winner
        raise _conflict(kind, name, f"was moved to {winner.id[:16]} by someone else")

    def _existing(self, kind: Kind, name: str) -> AliasRevision:
        _check_name(name)
        current = self._current(kind, name)
        if current is None:
            raise self._missing(kind, name)
        return current

    def _current(self, kind: Kind, name: str) -> AliasRevision | None:
        numbers = self._numbers(kind, name)
        return self._read(kind, name, numbers[-1]) if numbers else None

    def _numbers(self, kind: Kind, name: str) -> tuple[int, ...]:
        matches = map(ALIAS_REVISION.fullmatch, self._storage.names(f"{aliases_directory(kind)}/{name}"))
        return tuple(sorted(int(match[1]) for match in matches if match))

    def _read(self, kind: Kind, name: str, number: int) -> AliasRevision:
        path = alias_path(kind, name, number)
        try:
            return AliasRevision.model_validate_json(self._storage.read(path) or b"")
        except ValidationError as error:
            raise CorruptArtifactError(
                f"{self._storage.display(path)} is not an alias revision; restore it from a copy, or delete it"
            ) from error

    def _missing(self, kind: Kind, name: str) -> MissingArtifactError:
        known = ", ".join(sorted(self.list(kind))) or "none"
        return MissingArtifactError(
            f"there is no alias {name!r} of {kind} in {self._store.url} (aliases: {known}); "
            f"`clc {kind} list` shows the versions that exist"
        )


def is_alias_name(name: str) -> bool:
    """Say whether a reference reads as an alias; what looks like an id or its prefix never does."""
    return bool(_NAME.fullmatch(name)) and not _HEX_ID.fullmatch(name)


def _check_name(name: str) -> None:
    if not is_alias_name(name):
        raise StoreError(
            f"{name!r} cannot name an alias: use lower-case letters, digits, '.', '-' and '_', at most 64, "
            "and nothing that reads as an id (4 or more hex digits)"
        )


def _conflict(kind: Kind, name: str, what: str) -> AliasConflictError:
    return AliasConflictError(f"alias {name!r} of {kind} {what}; look at its history, then retry")
