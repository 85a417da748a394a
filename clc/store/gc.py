"""Collecting garbage: versions that nothing holds, and the debris of killed publishers (docs/artifacts.md).

Everything is read and decided before the first file goes, so a damaged manifest or alias stops the collection while
the store is still untouched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from graphlib import CycleError, TopologicalSorter

from clc.errors import CorruptArtifactError, StoreError
from clc.store.kind import BUILD_INPUTS, Kind
from clc.store.layout import (
    DATA_FILE,
    MANIFEST_NAME,
    RECIPE_HASH,
    RECIPE_POINTER,
    SCRATCH,
    VERSION_DIRECTORY,
    aliases_directory,
    pins_directory,
    recipe_path,
    scratch_path,
    version_directory,
)
from clc.store.publish import read_recipe_pointer
from clc.store.scratch import tree
from clc.store.storage import TEMPORARY_PREFIX, Storage
from clc.store.store import Store
from clc.store.version import Version, load_version

GRACE_HOURS = 24.0
_OF_TWO = {Kind.LATENTS: "reference latents", Kind.REFERENCES: "references"}  # of a dictionary under a model


@dataclass(frozen=True)
class Removed:
    """A version that nothing holds, and the bytes of its directory."""

    version: Version
    bytes: int


@dataclass(frozen=True)
class Kept:
    """A version that stays, and why."""

    version: Version
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Debris:
    """A file or directory that no version needs."""

    path: str
    bytes: int


@dataclass(frozen=True)
class GcReport:
    """What `collect` removed (or would remove) and what it kept.

    >>> GcReport(removed=(), kept=(), debris=(Debris("model/0123456789abcdef/.tmp-1", 10),)).bytes
    10
    """

    removed: tuple[Removed, ...]
    kept: tuple[Kept, ...]
    debris: tuple[Debris, ...]

    @property
    def bytes(self) -> int:
        """What the removed versions and the debris take."""
        return sum(each.bytes for each in self.removed) + sum(each.bytes for each in self.debris)


def collect(
    store: Store,
    *,
    keep_last: int,
    keep_days: float,
    dry_run: bool,
    build_inputs: bool = False,
    now: datetime | None = None,
    grace_hours: float = GRACE_HOURS,
) -> GcReport:
    """Remove the versions that nothing holds, the recipe pointers to them, and debris older than `grace_hours`.

    A version is held by an alias (its target, and the one that a rollback would restore), by a pin, by being among
    the newest `keep_last` of its kind, by being published within `keep_days`, and by every held version that was made
    from it. References and reference latents are held, too, while all that they were made from is: nobody can make the
    same ones again, and streams need them.
    build_inputs: remove also what dictionaries were built from (`BUILD_INPUTS`), which nobody needs who codes: only an
    alias, a pin and `keep_days` hold it then.
    Raises CorruptArtifactError, before anything is removed, if what a version holds cannot be read; StoreError if a
    limit is negative or the store cannot be read or written.

    >>> import numpy as np
    >>> from clc.store import Recipe
    >>> store = Store("memory://gc-example")
    >>> def train(seed):
    ...     with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={"seed": seed})) as draft:
    ...         draft.tensors("weights", {"bias": np.full(1, seed)})
    ...         return draft.publish()
    >>> old, new = train(1), train(2)
    >>> report = collect(store, keep_last=1, keep_days=0, dry_run=False)
    >>> [each.version == old for each in report.removed], [each.reasons for each in report.kept]
    ([True], [('newest 1',)])
    """
    for name, value in (("keep_last", keep_last), ("keep_days", keep_days), ("grace_hours", grace_hours)):
        if value < 0:
            raise StoreError(f"{name} is {value}; give 0 or more")
    now = now or datetime.now(UTC)
    versions = {version.ref: version for kind in Kind for version in store.versions(kind)}
    spared = frozenset() if build_inputs else BUILD_INPUTS
    reasons = _holds(store, versions, keep_last, keep_days, now, dispensable=BUILD_INPUTS - spared)
    doomed = _descendants_first([version for ref, version in versions.items() if ref not in reasons])
    pointers = _pointers_to(store.storage, {version.ref for version in doomed})
    removed = tuple(Removed(version, _directory_bytes(version)) for version in doomed)
    if not dry_run:
        # Whoever is killed between two of these leaves versions whose inputs are all there, and debris.
        for version in doomed:
            store.storage.withdraw(version_directory(version.kind, version.id), first=MANIFEST_NAME)
        for path in pointers:
            store.storage.delete(path)
    kept = {ref: versions[ref] for ref in reasons}
    debris: list[Debris] = []
    for found in _debris(store, kept, now - timedelta(hours=grace_hours)):
        debris += found
        if not dry_run:  # at once: the longer ago it was looked at, the likelier a publisher uses it again
            for each in found:
                store.storage.delete(each.path)
    return GcReport(removed, tuple(Kept(versions[ref], tuple(why)) for ref, why in reasons.items()), tuple(debris))


def _holds(
    store: Store,
    versions: dict[str, Version],
    keep_last: int,
    keep_days: float,
    now: datetime,
    dispensable: frozenset[Kind],
) -> dict[str, list[str]]:
    """Return by reference why a version stays; one that is not in it goes."""
    reasons = _direct_holds(store, versions, keep_last, keep_days, now, dispensable)
    queue = list(reasons)
    while queue:
        version = versions[queue.pop(0)]
        for source in _inputs(version):
            if source in versions and source not in reasons and versions[source].kind not in dispensable:
                reasons[source] = [f"lineage of {version}"]
                queue.append(source)
    for ref, version in versions.items():
        inputs = _inputs(version)
        if version.kind in _OF_TWO and ref not in reasons and inputs and all(each in reasons for each in inputs):
            reasons[ref] = [f"{_OF_TWO[version.kind]} of {' and '.join(str(versions[each]) for each in inputs)}"]
    return {ref: reasons[ref] for ref in versions if ref in reasons}


def _direct_holds(
    store: Store,
    versions: dict[str, Version],
    keep_last: int,
    keep_days: float,
    now: datetime,
    dispensable: frozenset[Kind],
) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for kind in Kind:
        aliases, pins = store.aliases.held(kind), store.pins.list(kind)
        of_kind = [version for version in versions.values() if version.kind is kind]  # oldest first
        newest = set(of_kind[max(0, len(of_kind) - keep_last) :])
        for version in of_kind:
            why = [aliases[version.id]] if version.id in aliases else []
            why += ["pin"] if version.short_id in pins else []
            why += [f"newest {keep_last}"] if version in newest and kind not in dispensable else []
            why += (
                [f"younger than {keep_days:g} days"] if _built_after(version, now - timedelta(days=keep_days)) else []
            )
            if why:
                reasons[version.ref] = why
    return reasons


def _built_after(version: Version, moment: datetime) -> bool:
    created_at = version.manifest.built.created_at
    try:
        built = datetime.fromisoformat(created_at)
    except ValueError as error:
        raise CorruptArtifactError(
            f"{version.directory} was built at {created_at!r}, which is no date; export it, or delete its directory"
        ) from error
    return (built if built.tzinfo else built.replace(tzinfo=UTC)) > moment


def _inputs(version: Version) -> list[str]:
    return [f"{source.kind}/{source.id}" for source in version.manifest.lineage]


def _descendants_first(versions: list[Version]) -> list[Version]:
    """Order versions such that a version never outlives what it was made from."""
    by_ref = {version.ref: version for version in versions}
    inputs = {ref: _inputs(version) for ref, version in by_ref.items()}
    try:
        ancestors_first = list(TopologicalSorter(inputs).static_order())
    except CycleError as error:
        raise CorruptArtifactError(
            f"versions descend from themselves: {' from '.join(error.args[1])}; delete the directory of one of them"
        ) from error
    return [by_ref[ref] for ref in reversed(ancestors_first) if ref in by_ref]


def _directory_bytes(version: Version) -> int:
    directory = version_directory(version.kind, version.id)
    return sum(version.storage.size(f"{directory}/{name}") or 0 for name in version.storage.names(directory))


def _pointers_to(storage: Storage, refs: set[str]) -> list[str]:
    paths = []
    for path, hash in _recipe_pointers(storage):
        pointer = read_recipe_pointer(storage, hash)
        if pointer is not None and f"{pointer.kind}/{pointer.id}" in refs:
            paths.append(path)
    return paths


def _recipe_pointers(storage: Storage) -> Iterator[tuple[str, str]]:
    for name in storage.names("recipes"):
        if match := RECIPE_POINTER.fullmatch(name):
            yield recipe_path(match[1]), match[1]


def _debris(store: Store, kept: dict[str, Version], before: datetime) -> Iterator[list[Debris]]:
    """Yield what killed publishers and collectors left before a moment, the content of a directory before it."""
    storage = store.storage
    for directory in _small_file_directories(storage):
        for name in storage.names(directory):
            if name.startswith(TEMPORARY_PREFIX):
                yield _old(storage, [f"{directory}/{name}"], before)
    for path, hash in _recipe_pointers(storage):
        pointer = read_recipe_pointer(storage, hash)
        if pointer is not None and load_version(storage, pointer.kind, pointer.id) is None:
            yield _old(storage, [path], before)
    by_directory = {version_directory(version.kind, version.id): version for version in kept.values()}
    for kind in Kind:
        for name in storage.names(kind):
            directory = f"{kind}/{name}"
            if version := by_directory.get(directory):
                yield from _unnamed_files(version, before)
            elif name.startswith(TEMPORARY_PREFIX) or VERSION_DIRECTORY.fullmatch(name):
                yield _abandoned(storage, directory, before)
    for name in storage.names(SCRATCH):
        if RECIPE_HASH.fullmatch(name):
            yield _old(storage, tree(storage, scratch_path(name)), before)


def _small_file_directories(storage: Storage) -> Iterator[str]:
    yield "recipes"
    for kind in Kind:
        yield pins_directory(kind)
        for name in storage.names(aliases_directory(kind)):
            yield f"{aliases_directory(kind)}/{name}"


def _unnamed_files(version: Version, before: datetime) -> Iterator[list[Debris]]:
    """Yield the files beside a version that its manifest does not name; strangers' files are none of ours."""
    directory = version_directory(version.kind, version.id)
    if version.storage.escapes(directory):
        return
    named = {entry.path for entry in version.manifest.files.values()}
    for name in version.storage.names(directory):
        if name not in named and (name.startswith(TEMPORARY_PREFIX) or DATA_FILE.fullmatch(name)):
            yield _old(version.storage, [f"{directory}/{name}"], before)


def _abandoned(storage: Storage, directory: str, before: datetime) -> list[Debris]:
    """Return a directory without a manifest, as old as its youngest file: a slow publisher is still at work there."""
    names = storage.names(directory) if storage.is_directory(directory) else []
    ours = [name for name in names if name.startswith(TEMPORARY_PREFIX) or DATA_FILE.fullmatch(name)]
    if MANIFEST_NAME in names:
        if not directory.rpartition("/")[2].startswith(TEMPORARY_PREFIX):
            return []  # published a moment ago, or to be removed by a collector that only says so
        ours.append(MANIFEST_NAME)  # a collector was killed after it had taken the directory away
    if names and not ours:
        return []
    old = _old(storage, [f"{directory}/{name}" for name in ours] or [directory], before)
    if old and names == sorted(ours) != [] and storage.is_local:
        old.append(Debris(directory, 0))  # on object stores a directory is nothing but its files
    return old


def _old(storage: Storage, paths: list[str], before: datetime) -> list[Debris]:
    """Return these paths if every one of them was last written before a moment."""
    moments = [storage.modified(path) for path in paths]
    if not all(moment is not None and moment < before for moment in moments):
        return []
    return [Debris(path, storage.size(path) or 0) for path in paths]
