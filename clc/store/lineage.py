"""Lineage: from a version back to the photos."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from clc.errors import CorruptArtifactError
from clc.store.kind import Kind
from clc.store.version import Version, load_version


@dataclass(frozen=True)
class Lineage:
    """A version or an external input, and by role what it was made from.

    `stage` is None for what no stage of the store made (photos); `present` is False for a version that is not in
    the store.

    >>> photos = Lineage("photos/5f1c")
    >>> patches = Lineage("patches/00", stage="crop", inputs={"photos": photos})
    >>> list(patches.edges())
    [('patches/00', 'photos', 'photos/5f1c')]
    """

    ref: str
    stage: str | None = None
    inputs: "dict[str, Lineage]" = field(default_factory=dict)
    present: bool = True

    def edges(self) -> Iterator[tuple[str, str, str]]:
        """Yield (version, role, input) for every edge, each once, nearest first."""
        seen, queue = {self.ref}, [self]
        while queue:
            node = queue.pop(0)
            for role, source in node.inputs.items():
                yield node.ref, role, source.ref
                if source.ref not in seen:
                    seen.add(source.ref)
                    queue.append(source)


def lineage(version: Version) -> Lineage:
    """Return the whole ancestry of a version; versions that are not in the store are marked, not refused.

    Raises CorruptArtifactError if a manifest is damaged or a version descends from itself.
    """
    return _trace(version, {}, ())


def ancestry(version: Version) -> list[Version]:
    """Return a version and all of its ancestors that are in its store, each once, nearest first.

    Raises CorruptArtifactError if a manifest is damaged.
    """
    found = {version.ref: version}
    queue = [version]
    while queue:
        for source in queue.pop(0).manifest.lineage:
            ref = f"{source.kind}/{source.id}"
            if ref in found:
                continue
            parent = load_version(version.storage, source.kind, source.id)
            if parent is not None and parent.id == source.id:
                found[ref] = parent
                queue.append(parent)
    return list(found.values())


def _trace(version: Version, known: dict[str, Lineage], descendants: tuple[str, ...]) -> Lineage:
    if version.ref in descendants:
        raise CorruptArtifactError(f"{version} descends from itself: {' from '.join((*descendants, version.ref))}")
    if version.ref not in known:
        inputs = {}
        for role, ref in sorted(version.manifest.recipe.inputs.items()):
            kind, id = ref.split("/")
            if kind not in set(Kind):
                inputs[role] = Lineage(ref)
                continue
            source = load_version(version.storage, Kind(kind), id)
            if source is None or source.id != id:
                inputs[role] = Lineage(ref, present=False)
            else:
                inputs[role] = _trace(source, known, (*descendants, version.ref))
        known[version.ref] = Lineage(version.ref, version.manifest.recipe.stage, inputs)
    return known[version.ref]
