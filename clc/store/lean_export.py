"""One file with what coding with references takes, and nothing that it was built from (docs/artifacts.md)."""

import tempfile
from pathlib import Path
from typing import BinaryIO

from clc.errors import CorruptArtifactError, StoreError
from clc.store.copy import copy_version
from clc.store.kind import Kind
from clc.store.store import Store
from clc.store.transfer import export_version
from clc.store.verify import verify_files
from clc.store.version import Version

_PATCHES = frozenset({"image"})


def export_references(references: Version, store: Store, file: BinaryIO) -> tuple[Version, ...]:
    """Write references, their model and their dictionary without its patches to one open file; all of them, sorted.

    `clc.store.import_version` reads it; dictionary and model have the ids that they have here.
    Raises StoreError for a version of another kind, MissingArtifactError if model or dictionary are not in the store,
    CorruptArtifactError if one of them is damaged, OSError if `file` cannot be written.
    """
    if references.kind is not Kind.REFERENCES:
        raise StoreError(f"{references} holds no references; `clc references list` shows what does")
    model = store.get(Kind.MODEL, references.attributes["model"])
    dictionary = store.get(Kind.DICTIONARY, references.attributes["dictionary"])
    for version in (references, model, dictionary):
        for problem in verify_files(version):  # copies have hashes of their own
            raise CorruptArtifactError(f"{problem}; restore it from a copy before it is exported")
    with tempfile.TemporaryDirectory(prefix="clc-export-") as folder:
        copies = Store(Path(folder))
        copy_version(model, copies)
        copy_version(dictionary, copies, emptied=_PATCHES)
        return export_version(copy_version(references, copies), file)
