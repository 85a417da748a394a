"""What `clc.store.verify` cannot know: whether references decode to what they were, and fit their dictionary."""

from collections.abc import Iterator
from contextlib import suppress

from clc.codec.artifacts import read_model
from clc.codec.references.coded import CodedPhotos
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.picture_cache import PictureCache
from clc.errors import ClcError, MissingArtifactError
from clc.store import Kind, Problem, Store, Version, verify
from clc.store.layout import manifest_path


def verify_references(version: Version, store: Store) -> list[Problem]:
    """Every problem of a version of kind `references`: those of any artifact, then its pictures. Empty if whole.

    Every picture is decoded, which takes the model.
    """
    problems = [problem for problem in verify(version) if problem.path not in _shipped(version, store)]
    if problems:
        return problems
    return [Problem(str(version), what) for what in _problems(version, store)]


def _shipped(version: Version, store: Store) -> set[str]:
    """Where manifests would lie of what it was made from and what another layer of the store has."""
    found = set()
    for source in version.manifest.lineage:
        with suppress(MissingArtifactError):
            if store.get(source.kind, source.id).storage is not version.storage:
                found.add(version.storage.display(manifest_path(source.kind, source.id)))
    return found


def _problems(version: Version, store: Store) -> Iterator[str]:
    try:
        model = store.get(Kind.MODEL, version.attributes["model"])
        photos = CodedPhotos(version, ExactDecoder(read_model(model), model.short_id), PictureCache(None, limit=0))
    except ClcError as error:
        yield str(error)
        return
    for number in range(len(photos)):
        try:
            photos.picture(number)
        except ClcError as error:
            yield str(error).removeprefix(f"{version}: ")
    try:
        dictionary = store.get(Kind.DICTIONARY, version.attributes["dictionary"])
    except MissingArtifactError:  # decoding does not take it
        return
    there = dictionary.table("entries", columns=["photo_sha256", "x", "y"]).to_pylist()
    table = version.table("entries").to_pylist()
    own = [{"photo_sha256": photos.photo_sha256[row["picture"]], "x": row["x"], "y": row["y"]} for row in table]
    if own != there:
        yield f"its entries are not those of {dictionary}"
