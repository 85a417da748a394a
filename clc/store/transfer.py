"""Moving one version and its lineage between stores, as one file (docs/artifacts.md, "Export files")."""

import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import BinaryIO, cast

from clc.errors import CorruptArtifactError, StoreError
from clc.store.export_file import (
    CONTENTS_NAME,
    ArchiveContents,
    ArchiveReader,
    ArchiveWriter,
    read_archive,
    write_archive,
)
from clc.store.layout import manifest_path, recipe_path, version_directory
from clc.store.lineage import ancestry
from clc.store.manifest import Manifest, Reference, TableEntry, TensorsEntry
from clc.store.publish import publish, read_recipe_pointer
from clc.store.storage import Storage
from clc.store.store import Store
from clc.store.verify import verify_files
from clc.store.version import Version, load_version


def export_version(version: Version, file: BinaryIO) -> tuple[Version, ...]:
    """Write a version and every ancestor that its store holds to one open file, and return them, sorted by reference.

    The same versions make the same bytes. Ancestors that are not in the store, and photos, are named by the manifests
    only. The file is an export only if nothing is raised: `clc.runtime.files.open_atomically` gives it its name then.
    Raises CorruptArtifactError, naming the file, if one of the versions is damaged; OSError if `file` cannot be
    written.

    >>> import numpy as np
    >>> from clc.store import Kind, Recipe
    >>> with Store("memory://export-example").draft(Kind.MODEL, Recipe(stage="train", stage_version=1)) as draft:
    ...     draft.tensors("weights", {"bias": np.zeros(3)})
    ...     version = draft.publish()
    >>> path = Path(tempfile.mkdtemp(), "model.tar")
    >>> with path.open("xb") as file:
    ...     export_version(version, file) == (version,)
    True
    >>> import_version(Store("memory://import-example"), path) == version
    True
    """
    versions = tuple(sorted(ancestry(version), key=lambda each: each.ref))
    storage = version.storage
    data_files: dict[str, tuple[Version, TableEntry | TensorsEntry]] = {}
    small: dict[str, bytes] = {}
    for each in versions:
        small[manifest_path(each.kind, each.id)] = each.manifest.to_json()
        pointer = read_recipe_pointer(storage, each.manifest.recipe_hash)
        if pointer == _reference(each):
            small[recipe_path(each.manifest.recipe_hash)] = pointer.model_dump_json().encode()
        for entry in each.manifest.files.values():
            data_files[f"{version_directory(each.kind, each.id)}/{entry.path}"] = each, entry
    contents = ArchiveContents(root=_reference(version), versions=tuple(_reference(each) for each in versions))
    with write_archive(file) as archive:
        _add_bytes(archive, CONTENTS_NAME, (contents.model_dump_json(indent=2) + "\n").encode())
        for name in sorted(small.keys() | data_files.keys()):
            if name in small:
                _add_bytes(archive, name, small[name])
            else:
                _add_data_file(archive, *data_files[name])
    return versions


def read_root(path: str | Path) -> Reference:
    """Return the version that an export file was made for. Raises as `import_version`."""
    with read_archive(Path(path)) as archive:
        return archive.contents.root


def import_version(store: Store, path: str | Path) -> Version:
    """Publish what `export_version` wrote, ancestors first, and return the version that was exported.

    Everything is verified before anything is published: names, sizes, hashes of files and of values, ids. What the
    store has already stays as it is; a recipe that made another version here keeps pointing to that one, with a
    warning.
    Raises CorruptArtifactError, naming what is wrong, if the file is damaged or not an export, or if the store holds
    other content under the same short id; StoreError if the file cannot be read or the store cannot be written.
    """
    store.storage.require_exclusive_create()
    with read_archive(Path(path)) as archive, _staging() as staging:
        shipment = _open_shipment(archive)
        _unpack(archive, shipment, staging)
        _verify(archive, shipment, staging)
        for manifest in shipment.manifests.values():
            _refuse_collision(store.storage, manifest)
        versions = {
            ref: publish(
                store.storage,
                manifest,
                staging / version_directory(manifest.kind, manifest.id),
                point_recipe=shipment.pointers.get(recipe_path(manifest.recipe_hash)) == ref,
            )
            for ref, manifest in shipment.manifests.items()
        }
        return versions[_ref(archive.contents.root)]


@dataclass(frozen=True)
class _Shipment:
    """What an archive holds, by "kind/full-id", ancestors first; recipe pointers by member name."""

    manifests: Mapping[str, Manifest]
    pointers: Mapping[str, str]


def _open_shipment(archive: ArchiveReader) -> _Shipment:
    """Read all metadata, and check that members, list of versions and lineage say the same."""
    listed = archive.contents.versions
    names = [manifest_path(reference.kind, reference.id) for reference in listed]
    if len(set(names)) != len(names):
        raise archive.damaged(CONTENTS_NAME, "names a version twice")
    # Before any manifest is read: what is no part of a listed version needs no further look.
    directories = {name.rpartition("/")[0] for name in names}
    for name in sorted(archive.names):
        if name.rpartition("/")[0] not in directories | {"recipes"}:
            raise archive.damaged(name, "belongs to no version of the file")
    manifests = {
        _ref(reference): _read_manifest(archive, reference, name) for reference, name in zip(listed, names, strict=True)
    }
    pointers = _read_pointers(archive, manifests)
    _refuse_other_members(archive, manifests, pointers)
    return _Shipment({ref: manifests[ref] for ref in _ancestors_first(archive, manifests)}, pointers)


def _read_manifest(archive: ArchiveReader, reference: Reference, name: str) -> Manifest:
    try:
        manifest = Manifest.parse(archive.read(name), name)
    except CorruptArtifactError as error:
        raise archive.damaged(name, _without_advice(str(error).removeprefix(name).strip())) from error
    if (manifest.kind, manifest.id) != (reference.kind, reference.id):
        raise archive.damaged(name, f"is the manifest of {manifest.kind}/{manifest.id}")
    return manifest


def _read_pointers(archive: ArchiveReader, manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Return what each recipe pointer names; it must be a version of the file that this recipe made."""
    pointers = {}
    for name in sorted(archive.names):
        if not name.startswith("recipes/"):
            continue
        made = {
            Reference(kind=manifest.kind, id=manifest.id).model_dump_json().encode(): ref
            for ref, manifest in manifests.items()
            if recipe_path(manifest.recipe_hash) == name
        }
        if not made:
            raise archive.damaged(name, "belongs to no version of the file")
        if (data := archive.read(name)) not in made:
            raise archive.damaged(name, "does not name the version that its recipe made")
        pointers[name] = made[data]
    return pointers


def _refuse_other_members(
    archive: ArchiveReader, manifests: Mapping[str, Manifest], pointers: Mapping[str, str]
) -> None:
    sizes: dict[str, int | None] = dict.fromkeys(pointers)
    for manifest in manifests.values():
        sizes[manifest_path(manifest.kind, manifest.id)] = None
        for entry in manifest.files.values():
            sizes[f"{version_directory(manifest.kind, manifest.id)}/{entry.path}"] = entry.bytes
    for name in sorted(archive.names - sizes.keys()):
        raise archive.damaged(name, "belongs to no version of the file")
    for name, size in sizes.items():
        if name not in archive.names:
            raise archive.damaged(name, "is missing")
        if size is not None and archive.size(name) != size:
            raise archive.damaged(name, f"has {archive.size(name)} bytes, its manifest says {size}")


def _ancestors_first(archive: ArchiveReader, manifests: Mapping[str, Manifest]) -> list[str]:
    root = _ref(archive.contents.root)
    if root not in manifests:
        raise archive.damaged(CONTENTS_NAME, f"does not list {root}, the version that was exported")
    inputs = {
        ref: [source for source in map(_ref, manifest.lineage) if source in manifests]
        for ref, manifest in manifests.items()
    }
    reached, queue = {root}, [root]
    while queue:
        fresh = set(inputs[queue.pop()]) - reached
        reached |= fresh
        queue.extend(fresh)
    for ref in sorted(manifests.keys() - reached):
        raise archive.damaged(CONTENTS_NAME, f"lists {ref}, from which {root} was not made")
    try:
        return list(TopologicalSorter(inputs).static_order())
    except CycleError as error:
        raise archive.damaged(CONTENTS_NAME, f"lists versions that descend from themselves: {error.args[1]}") from error


def _unpack(archive: ArchiveReader, shipment: _Shipment, staging: Path) -> None:
    """Copy the data files to the local disk, where they lie as in a store."""
    try:
        for manifest in shipment.manifests.values():
            directory = version_directory(manifest.kind, manifest.id)
            (staging / directory).mkdir(parents=True)
            for name in {entry.path for entry in manifest.files.values()}:
                archive.copy(f"{directory}/{name}", staging / directory / name)
    except OSError as error:
        raise StoreError(
            f"cannot unpack under {staging}: {error}; imports are checked under TMPDIR, which needs room for them"
        ) from error


def _verify(archive: ArchiveReader, shipment: _Shipment, staging: Path) -> None:
    storage = Storage(str(staging))
    for manifest in shipment.manifests.values():
        for problem in verify_files(Version(storage, manifest)):
            name = Path(problem.path).relative_to(storage.display()).as_posix()
            raise archive.damaged(name, _without_advice(problem.what))


def _refuse_collision(storage: Storage, manifest: Manifest) -> None:
    """Refuse before the first version is published what `publish` would refuse after some of them."""
    there = load_version(storage, manifest.kind, manifest.id)
    if there is not None and there.id != manifest.id:
        raise CorruptArtifactError(
            f"{there.directory} holds {there.ref}, which shares its first digits with {manifest.kind}/{manifest.id}; "
            "import into another store (--store)"
        )


def _add_bytes(archive: ArchiveWriter, name: str, data: bytes) -> None:
    archive.add(name, len(data), io.BytesIO(data))


def _add_data_file(archive: ArchiveWriter, version: Version, entry: TableEntry | TensorsEntry) -> None:
    name = version.locate(entry)
    with version.storage.open(name) as file:
        hashing = _HashingReader(file, version.storage.display(name))
        archive.add(name, entry.bytes, cast(BinaryIO, hashing))
    if hashing.hexdigest() != entry.sha256:
        raise CorruptArtifactError(
            f"{version.storage.display(name)} does not have the SHA-256 of its manifest; restore it from a copy, or "
            f"delete {version.directory} and rebuild the version"
        )


class _HashingReader:
    """Passes a file on and hashes what went by: a damaged version is found while it is copied."""

    def __init__(self, file: BinaryIO, shown_as: str) -> None:
        self._file = file
        self._shown_as = shown_as
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:  # left alone, it would pass for a fault of the file that is written
            raise StoreError(f"cannot read {self._shown_as}: {error}; check the store, then retry") from error
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def _staging() -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(prefix="clc-import-"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging)


def _reference(version: Version) -> Reference:
    return Reference(kind=version.kind, id=version.id)


def _ref(reference: Reference) -> str:
    return f"{reference.kind}/{reference.id}"


def _without_advice(what: str) -> str:
    # What follows tells how to repair a store; the file is of an export, which is made again instead.
    return what.partition("; restore it")[0]
