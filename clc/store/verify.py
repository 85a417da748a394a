"""Verification: everything a manifest promises, checked against the bytes in the store."""

from collections.abc import Iterator
from dataclasses import dataclass

from clc.errors import CorruptArtifactError
from clc.store.identity import ColumnHasher, tensor_sha256
from clc.store.kind import BUILD_INPUTS, Kind
from clc.store.layout import manifest_path, version_directory
from clc.store.manifest import TableEntry, Tensor, TensorsEntry, describe_columns
from clc.store.store import Store
from clc.store.version import Version, load_version


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and the file where it is.

    >>> print(Problem("model/0123456789abcdef/manifest.json", "is missing"))
    model/0123456789abcdef/manifest.json: is missing
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def verify(version: Version) -> list[Problem]:
    """Check every hash, size, schema and row count of a version, its id and its inputs; empty means good.

    The manifest is read again: what counts is what lies in the store now.
    Raises StoreError if the store itself cannot be read.

    >>> import numpy as np
    >>> from clc.store import Recipe, Store
    >>> with Store("memory://verify-example").draft(Kind.MODEL, Recipe(stage="train", stage_version=1)) as draft:
    ...     draft.tensors("weights", {"bias": np.zeros(3)})
    ...     version = draft.publish()
    >>> verify(version)
    []
    """
    return list(_verify(version))


def verify_files(version: Version) -> list[Problem]:
    """Check the data files of a version against the manifest it carries, not the inputs it was made from.

    Raises StoreError if the store itself cannot be read.
    """
    return [problem for name, entry in version.manifest.files.items() for problem in _verify_file(version, name, entry)]


def verify_store(store: Store) -> list[Problem]:
    """Check every version of a store, those with an unreadable manifest included; empty means good.

    Raises StoreError if the store itself cannot be read.
    """
    problems: list[Problem] = []
    for kind in Kind:
        for directory in store.directories(kind):
            problems += _verify_directory(store, kind, directory)
    return problems


def _verify_directory(store: Store, kind: Kind, directory: str) -> list[Problem]:
    try:
        version = load_version(store.storage, kind, directory)
    except CorruptArtifactError as error:
        return [_named(store.storage.display(manifest_path(kind, directory)), error)]
    # Without a manifest there is no version: a publisher is at work or was killed.
    return [] if version is None else verify(version)


def _verify(version: Version) -> Iterator[Problem]:
    manifest_file = manifest_path(version.kind, version.id)
    where = version.storage.display(manifest_file)
    if version.storage.escapes(manifest_file):
        yield Problem(where, "leads out of the store through a symbolic link")
        return
    try:
        current = load_version(version.storage, version.kind, version.id)
    except CorruptArtifactError as error:
        yield _named(where, error)
        return
    if current is None:
        yield Problem(where, "is missing: the version was removed")
        return
    if current.id != version.id:
        yield Problem(where, f"is the manifest of {current.ref}, expected {version.ref}")
        return
    for source in current.manifest.lineage:
        yield from _verify_input(current, source.kind, source.id)
    yield from verify_files(current)


def _verify_input(version: Version, kind: Kind, id: str) -> Iterator[Problem]:
    where = version.storage.display(manifest_path(kind, id))
    try:
        source = load_version(version.storage, kind, id)
    except CorruptArtifactError as error:
        yield _named(where, error)
        return
    if source is None and kind in BUILD_INPUTS:
        return  # garbage collection may take them, exports leave them out
    if source is None or source.id != id:
        yield Problem(where, f"is missing: {version} was made from {kind}/{id}")


def _verify_file(version: Version, name: str, entry: TableEntry | TensorsEntry) -> Iterator[Problem]:
    path = f"{version_directory(version.kind, version.id)}/{entry.path}"
    where = version.storage.display(path)
    if version.storage.escapes(path):
        yield Problem(where, "leads out of the store through a symbolic link")
        return
    try:
        version.locate(entry)
        if version.storage.sha256(path) != entry.sha256:
            yield Problem(where, f"does not have the SHA-256 {entry.sha256} of the manifest")
            return
        differences = (
            _table_differences(version, name, entry)
            if isinstance(entry, TableEntry)
            else _tensor_differences(version, name, entry)
        )
        for difference in differences:
            yield Problem(where, difference)
    except CorruptArtifactError as error:
        yield _named(where, error)


def _table_differences(version: Version, name: str, entry: TableEntry) -> Iterator[str]:
    schema = version.schema(name)
    hashers = {
        column.name: ColumnHasher(schema.field(column.name).type) for column in entry.columns if not column.derived
    }
    rows = 0
    for batch in version.batches(name):
        rows += batch.num_rows
        for column, hasher in hashers.items():
            hasher.update(batch.column(column))
    if rows != entry.rows:
        yield f"has {rows} rows, the manifest says {entry.rows}"
    found = describe_columns(schema, {column: hasher.hexdigest() for column, hasher in hashers.items()})
    for actual, promised in zip(found, entry.columns, strict=True):
        if actual != promised:
            yield f"column {promised.name!r} is {actual}, the manifest says {promised}"


def _tensor_differences(version: Version, name: str, entry: TensorsEntry) -> Iterator[str]:
    found = {
        key: Tensor(dtype=value.dtype.name, shape=value.shape, sha256=tensor_sha256(value))
        for key, value in version.tensors(name).items()
    }
    for key in sorted(found.keys() | entry.tensors.keys()):
        if found.get(key) != entry.tensors.get(key):
            yield f"tensor {key!r} is {found.get(key)}, the manifest says {entry.tensors.get(key)}"


def _named(path: str, error: CorruptArtifactError) -> Problem:
    return Problem(path, str(error).removeprefix(path).strip())
