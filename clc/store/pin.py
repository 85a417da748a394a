"""Pins: versions that `collect` never removes, whatever their age; for what bitstreams elsewhere still need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clc.errors import MissingArtifactError
from clc.store.identity import SHORT_ID_DIGITS
from clc.store.kind import Kind
from clc.store.layout import PIN, pin_path, pins_directory
from clc.store.manifest import Reference
from clc.store.version import Version

if TYPE_CHECKING:
    from clc.store.store import Store


class Pins:
    """The pins of a store (`Store.pins`): one small file each, whose name says what it holds.

    >>> import numpy as np
    >>> from clc.store import Recipe, Store
    >>> store = Store("memory://pin-example")
    >>> with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1)) as draft:
    ...     draft.tensors("weights", {"bias": np.zeros(3)})
    ...     version = draft.publish()
    >>> store.pins.add(Kind.MODEL, version) == version
    True
    >>> store.pins.list(Kind.MODEL) == [version.short_id]
    True
    >>> store.pins.remove(Kind.MODEL, version.short_id) == version.short_id
    True
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._storage = store.storage

    def add(self, kind: Kind, version: Version | str) -> Version:
        """Pin a version, or what a reference names now, and return it; a pinned version stays pinned.

        Raises MissingArtifactError if it is not in the store, StoreError if the store cannot be written.
        """
        target = self._store.get(kind, version.ref if isinstance(version, Version) else version)
        data = Reference(kind=kind, id=target.id).model_dump_json().encode()
        self._storage.create(pin_path(kind, target.id), data)
        return target

    def remove(self, kind: Kind, version: Version | str) -> str:
        """Remove the pin of a version and return the short id; the version itself may be gone.

        Raises MissingArtifactError if it has no pin.
        """
        pinned = self.list(kind)
        id = version.short_id if isinstance(version, Version) else self._short_id(kind, version, pinned)
        if id not in pinned:
            raise MissingArtifactError(
                f"{kind}/{id} has no pin in {self._store.url}; pinned are: {', '.join(pinned) or 'none'}"
            )
        self._storage.delete(pin_path(kind, id))
        return id

    def list(self, kind: Kind) -> list[str]:
        """Return the short ids of the pinned versions."""
        matches = map(PIN.fullmatch, self._storage.names(pins_directory(kind)))
        return [match[1] for match in matches if match]

    def _short_id(self, kind: Kind, ref: str, pinned: Sequence[str]) -> str:
        short = ref.removeprefix(f"{kind}/")[:SHORT_ID_DIGITS]
        return short if short in pinned else self._store.get(kind, ref).short_id
