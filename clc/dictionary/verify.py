"""What `clc.store.verify` cannot know: whether a dictionary's pictures and search structures fit its other columns."""

from collections.abc import Iterator

import numpy as np

from clc.dictionary.dictionary import load_index
from clc.dictionary.features import vectors_of
from clc.dictionary.index import SearchMethod
from clc.errors import ClcError
from clc.images.patch import decode_patch, pixels_sha256
from clc.store import Problem, Version, verify

_PROBES = 64


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
                if pixels_sha256(decode_patch(image.as_py())) != expected.as_py():
                    yield f"picture of entry {entry} does not have the recorded pixels"
            except ClcError as error:
                yield f"picture of entry {entry}: {error}"
            entry += 1


def _indexes(version: Version) -> Iterator[str]:
    """Every entry's own key must find that entry, or an equal one before it."""
    keys = vectors_of(version.table("entries", columns=["key"])["key"])
    probes = np.unique(np.linspace(0, len(keys) - 1, min(_PROBES, len(keys))).astype(int))
    for method in SearchMethod:
        try:
            found = load_index(version, keys, method).candidates(keys[probes], 1)[:, 0]
        except (ClcError, RuntimeError, ValueError) as error:
            yield f"{method} index cannot be loaded: {error}"
            continue
        for probe, nearest in zip(probes, found, strict=True):
            if not np.array_equal(keys[probe], keys[nearest]):
                yield f"{method} index answers entry {nearest} for the key of entry {probe}"
