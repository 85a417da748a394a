"""The store: drafts go in, versions come out."""

import os
import re
from contextlib import AbstractContextManager
from pathlib import Path

from clc.errors import CorruptArtifactError, MissingArtifactError, StoreError
from clc.store.alias import Aliases, is_alias_name
from clc.store.draft import Draft, open_draft
from clc.store.identity import SHORT_ID_DIGITS
from clc.store.kind import Kind
from clc.store.layout import VERSION_DIRECTORY
from clc.store.pin import Pins
from clc.store.publish import read_recipe_pointer
from clc.store.recipe import Recipe
from clc.store.storage import Storage
from clc.store.version import Version, load_version

_ID_PREFIX = re.compile(r"[0-9a-f]{4,64}")


class Store:
    """Versions of every kind under one root: a directory, or an object store by fsspec URL.

    Without a URL, the environment variable CLC_STORE or `./artifacts`.
    Raises StoreError if the URL cannot be opened.

    >>> import pyarrow as pa
    >>> store = Store("memory://store-example")
    >>> recipe = Recipe(stage="crop", stage_version=1, config={"size": 256}, inputs={"photos": "photos/5f1c"})
    >>> store.find(recipe) is None
    True
    >>> with store.draft(Kind.PATCHES, recipe) as draft:
    ...     schema = pa.schema([("source", pa.string())])
    ...     with draft.table("patches", schema) as table:
    ...         table.write(pa.table({"source": ["a.jpg", "b.jpg"]}, schema=schema))
    ...     version = draft.publish()
    >>> store.find(recipe) == store.get(Kind.PATCHES, version.id[:6]) == version
    True
    """

    def __init__(self, url: str | Path | None = None) -> None:
        self.storage = Storage(str(url or os.environ.get("CLC_STORE") or "artifacts"))
        self.aliases = Aliases(self)
        self.pins = Pins(self)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def url(self) -> str:
        """Where the store lies: an absolute path on local disks, a URL elsewhere."""
        return self.storage.display()

    def draft(self, kind: Kind, recipe: Recipe) -> AbstractContextManager[Draft]:
        """Open a draft; leaving the block without `Draft.publish` discards it.

        Raises StoreError if nothing can be published here.
        """
        return open_draft(self.storage, kind, recipe)

    def find(self, recipe: Recipe) -> Version | None:
        """Return the version that this recipe made, None if it did not or the version is gone.

        Raises CorruptArtifactError if the pointer or the manifest is damaged.
        """
        pointer = read_recipe_pointer(self.storage, recipe.hash)
        if pointer is None:
            return None
        version = load_version(self.storage, pointer.kind, pointer.id)
        return version if version is not None and version.id == pointer.id else None

    def get(self, kind: Kind, ref: str) -> Version:
        """Return the version that an alias, full id, short id or unique prefix (4 or more digits) names.

        The kind may stand before it, as in `str(version)` and `Version.ref`.
        Raises MissingArtifactError if there is none, StoreError if a prefix is ambiguous or `ref` is malformed,
        CorruptArtifactError if the manifest is damaged or belongs to another id with the same short id.
        """
        name = ref.removeprefix(f"{kind}/")
        if _ID_PREFIX.fullmatch(name):
            return self._by_id(kind, name)
        if is_alias_name(name):
            return self.aliases.resolve(kind, name)
        raise StoreError(f"{ref!r} is neither an id nor an alias of {kind}; `clc {kind} list` shows both")

    def versions(self, kind: Kind) -> list[Version]:
        """Return all versions of a kind, oldest first.

        Raises CorruptArtifactError for a damaged manifest: a list that leaves versions out would mislead.
        """
        found = (load_version(self.storage, kind, directory) for directory in self.directories(kind))
        return sorted(
            (version for version in found if version is not None),
            key=lambda version: (version.manifest.built.created_at, version.id),
        )

    def directories(self, kind: Kind) -> list[str]:
        """Return the short ids that have a directory, with or without a manifest."""
        return [name for name in self.storage.names(kind) if VERSION_DIRECTORY.fullmatch(name)]

    def _by_id(self, kind: Kind, id: str) -> Version:
        if len(id) < SHORT_ID_DIGITS:
            id = self._complete(kind, id)
        version = load_version(self.storage, kind, id)
        if version is None:
            raise self._missing(kind, id)
        if not version.id.startswith(id):
            raise CorruptArtifactError(
                f"{version.directory} holds {version.ref}, not {kind}/{id}, which shares its first "
                f"{SHORT_ID_DIGITS} digits; check the id for a typing error"
            )
        return version

    def _complete(self, kind: Kind, prefix: str) -> str:
        candidates = [
            directory
            for directory in self.directories(kind)
            if directory.startswith(prefix) and load_version(self.storage, kind, directory) is not None
        ]
        if not candidates:
            raise self._missing(kind, prefix)
        if len(candidates) > 1:
            raise StoreError(
                f"{prefix!r} is ambiguous: {', '.join(f'{kind}/{id}' for id in candidates)}; give more digits"
            )
        return candidates[0]

    def _missing(self, kind: Kind, id: str) -> MissingArtifactError:
        return MissingArtifactError(
            f"{kind}/{id} is not in {self.url}; `clc {kind} list` shows what is there, `clc {kind} import FILE` "
            "brings it from another store, --store names another one"
        )
