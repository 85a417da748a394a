"""Publishing: data files first, verified, then the manifest, then the pointer from the recipe.

A version exists from the moment its manifest does. Every step before leaves only files that nothing refers to; every
step can be repeated by anyone, in any interleaving, with the same result.
"""

import logging
from pathlib import Path

from pydantic import ValidationError

from clc.errors import CorruptArtifactError
from clc.store.layout import manifest_path, recipe_path, version_directory
from clc.store.manifest import Manifest, Reference
from clc.store.storage import Storage
from clc.store.version import Version, load_version

log = logging.getLogger("clc.store")


def publish(storage: Storage, manifest: Manifest, staging: Path, *, point_recipe: bool = True) -> Version:
    """Copy the files of a version from a local directory into the store and commit its manifest.

    `staging` holds them under their published names. Without `point_recipe`, the recipe that the manifest shows does
    not become the way to this version.
    Raises StoreError if the store cannot be written, CorruptArtifactError if it holds other content under the same
    short id.
    """
    directory = version_directory(manifest.kind, manifest.id)
    there = load_version(storage, manifest.kind, manifest.id)
    for entry in manifest.files.values():
        # A manifest that is there stays, so files that only this one names would be debris.
        if there is None or entry in there.manifest.files.values():
            storage.put(staging / entry.path, f"{directory}/{entry.path}", entry.sha256)
    storage.create(manifest_path(manifest.kind, manifest.id), manifest.to_json())
    # Whether this call created the manifest or found one, what is there now is what readers will get.
    version = load_version(storage, manifest.kind, manifest.id)
    if version is None or version.id != manifest.id:
        raise CorruptArtifactError(
            f"{storage.display(directory)} belongs to another version than {manifest.kind}/{manifest.id}, which "
            "shares its short id or was removed meanwhile; look at its manifest, then publish again"
        )
    # A collector may have removed the version while this ran: what it took before the manifest came is put again.
    for entry in version.manifest.files.values():
        path = f"{directory}/{entry.path}"
        if storage.size(path) != entry.bytes and (staging / entry.path).exists():
            storage.put(staging / entry.path, path, entry.sha256)
        version.locate(entry)
    if point_recipe:
        _point_recipe_to(storage, manifest.recipe_hash, version)
    return version


def read_recipe_pointer(storage: Storage, recipe_hash: str) -> Reference | None:
    """Return the version that a recipe made, None if it never did.

    Raises CorruptArtifactError if the pointer is not one.
    """
    path = recipe_path(recipe_hash)
    data = storage.read(path)
    if data is None:
        return None
    try:
        return Reference.model_validate_json(data)
    except ValidationError as error:
        raise CorruptArtifactError(
            f"{storage.display(path)} is not a recipe pointer; delete it, and the stage runs again"
        ) from error


def _point_recipe_to(storage: Storage, recipe_hash: str, version: Version) -> None:
    path = recipe_path(recipe_hash)
    pointer = Reference(kind=version.kind, id=version.id)
    data = pointer.model_dump_json().encode()
    if storage.create(path, data):
        return
    existing = read_recipe_pointer(storage, recipe_hash)
    if existing is None or existing == pointer:
        return
    if load_version(storage, existing.kind, existing.id) is None:
        # Its version was deleted: without this the stage would never be skipped again.
        storage.replace(path, data)
        return
    log.warning(
        "recipe %s made both %s/%s and %s/%s: the stage is not deterministic; it keeps naming the first",
        recipe_hash[:16],
        existing.kind,
        existing.id,
        pointer.kind,
        pointer.id,
    )
