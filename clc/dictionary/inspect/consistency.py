"""What `clc.store.verify` cannot know: whether a dictionary's pictures and search structures fit its other columns."""

from collections.abc import Iterator

from clc.dictionary.dictionary import load_index
from clc.dictionary.retrieval.search import SearchMethod
from clc.dictionary.stages.features import vectors_of
from clc.errors import ClcError
from clc.images.patch import decode_patch, pixels_sha256
from clc.store import Problem, Version, verify


def verify_dictionary(version: Version) -> list[Problem]:
    """Every problem of a dictionary version: those of any artifact, then its pictures and indexes. Empty if whole."""
    problems = verify(version)
    if problems:
        return problems
    return [Problem(str(version), what) for what in (*_pictures(version), *_indexes(version))]


def _pictures(version: Version) -> Iterator[str]:
    entry = 0
    for batch in version.batches("entries", columns=["image", "pixels_sha256"]):
        for image, expected in zip(batch["image"], batch["pixels_sha256"], strict=True):
            try:
                # One that came with a product or with references is here without its patches.
                if image.is_valid and pixels_sha256(decode_patch(image.as_py())) != expected.as_py():
                    yield f"picture of entry {entry} does not have the recorded pixels"
            except ClcError as error:
                yield f"picture of entry {entry}: {error}"
            entry += 1


def _indexes(version: Version) -> Iterator[str]:
    keys = vectors_of(version.table("entries", columns=["key"])["key"])
    for method in SearchMethod:
        try:
            fits = load_index(version, keys, method).fits(keys)
        except (ClcError, RuntimeError, ValueError) as error:
            yield f"{method} index cannot be loaded: {error}"
            continue
        if not fits:
            yield f"{method} index does not fit the keys"
