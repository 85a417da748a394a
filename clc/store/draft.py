"""A version in the making: files staged on the local disk, hashed as they are written, invisible until published."""

import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.numpy

from clc.errors import StoreError
from clc.store.identity import NUMBERS, tensor_sha256
from clc.store.kind import Kind
from clc.store.manifest import FORMAT_VERSION, Built, Manifest, TableEntry, Tensor, TensorsEntry
from clc.store.publish import publish
from clc.store.recipe import Recipe
from clc.store.storage import Storage, file_sha256
from clc.store.table import TableWriter
from clc.store.version import Version

_LOGICAL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LIBRARIES = ("clc", "fsspec", "numpy", "pyarrow", "safetensors")


class Draft:
    """What a stage fills in: tables, tensors, attributes (part of the id) and statistics (not part of it).

    Leaving `Store.draft` without `publish` discards everything.
    Raises StoreError for names in use, malformed names, and types that artifacts do not hold.

    >>> from clc.store import Kind, Recipe, Store
    >>> store = Store("memory://draft-example")
    >>> schema = pa.schema([("index", pa.int32())])
    >>> with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1)) as draft:
    ...     draft.attributes["preset"] = "tiny"
    ...     with draft.table("losses", schema) as table:
    ...         table.write(pa.table([pa.array([1, 2], pa.int32())], schema=schema))
    ...     draft.tensors("weights", {"bias": np.zeros(3, np.float32)})
    ...     version = draft.publish()
    >>> version.rows("losses"), version.tensors("weights")["bias"].shape
    (2, (3,))
    """

    def __init__(self, storage: Storage, kind: Kind, recipe: Recipe, staging: Path) -> None:
        self.kind = kind
        self.recipe = recipe
        self.attributes: dict[str, Any] = {}
        self.statistics: dict[str, Any] = {}
        self._storage = storage
        self._staging = staging
        self._open: set[str] = set()
        self._files: dict[str, TableEntry | TensorsEntry] = {}
        self._published = False

    @contextmanager
    def table(self, name: str, schema: pa.Schema) -> Iterator[TableWriter]:
        """Open a table for writing; it belongs to the draft once the block ends without an exception.

        Raises StoreError if the name is taken or malformed, or the schema has a type that artifacts do not hold.
        """
        self._reserve(name)
        path = self._staging / f"{name}.parquet"
        with TableWriter(path, schema) as writer:
            yield writer
        self._open.remove(name)
        self._files[name] = TableEntry(**self._stage(name, path), rows=writer.rows, columns=writer.columns)

    def tensors(self, name: str, tensors: Mapping[str, np.ndarray]) -> None:
        """Add a file of tensors: booleans, integers and floats of any shape.

        Raises StoreError if the name is taken or malformed, or a dtype is none of these.
        """
        for tensor_name, tensor in tensors.items():
            if tensor.dtype.name not in NUMBERS:
                raise StoreError(f"tensor {tensor_name!r} has dtype {tensor.dtype}; use bool, integers or floats")
        self._reserve(name)
        path = self._staging / f"{name}.safetensors"
        # safetensors writes the buffer as it lies in memory, whatever the strides and byte order say.
        plain = {key: np.asarray(value, value.dtype.newbyteorder("="), order="C") for key, value in tensors.items()}
        try:
            safetensors.numpy.save_file(plain, path, metadata={"clc.format_version": str(FORMAT_VERSION)})
        except (OSError, safetensors.SafetensorError) as error:
            raise StoreError(f"cannot write {path}: {error}") from error
        self._open.remove(name)
        self._files[name] = TensorsEntry(
            **self._stage(name, path),
            tensors={
                key: Tensor(dtype=value.dtype.name, shape=value.shape, sha256=tensor_sha256(value))
                for key, value in plain.items()
            },
        )

    def publish(self) -> Version:
        """Make the version visible, all at once, and return it; publishing content that is already there succeeds.

        Raises StoreError if the draft is empty, has an open table, was published before, or cannot be written;
        CorruptArtifactError if the store holds other content under the same short id.
        """
        if self._published:
            raise StoreError("this draft was published already; open another one")
        if self._open:
            raise StoreError(f"cannot publish while {sorted(self._open)} are not complete")
        if not self._files:
            raise StoreError("cannot publish a draft without a table or tensors")
        manifest = Manifest.assemble(
            self.kind, self.attributes, self._files, self.recipe, self.statistics, _built_here()
        )
        version = publish(self._storage, manifest, self._staging)
        self._published = True
        return version

    def _reserve(self, name: str) -> None:
        if not _LOGICAL_NAME.fullmatch(name):
            raise StoreError(f"{name!r} cannot name a file; use lower-case letters, digits, '-' and '_'")
        if name in self._open or name in self._files:
            raise StoreError(f"this draft already has {name!r}")
        self._open.add(name)

    def _stage(self, name: str, path: Path) -> dict[str, Any]:
        """Give a finished file its published name and return what the manifest says of its bytes."""
        sha256 = file_sha256(path)
        # The hash in the name keeps two publishers of one content, with different pyarrow versions and hence
        # different bytes, from overwriting each other.
        published = f"{name}-{sha256[:16]}{path.suffix}"
        path.rename(self._staging / published)
        return {"path": published, "bytes": (self._staging / published).stat().st_size, "sha256": sha256}


@contextmanager
def open_draft(storage: Storage, kind: Kind, recipe: Recipe) -> Iterator[Draft]:
    """Yield a draft with a staging directory that goes away with the block.

    Raises StoreError if nothing can be published to this storage.
    """
    storage.require_exclusive_create()
    staging = Path(tempfile.mkdtemp(prefix="clc-draft-"))
    try:
        yield Draft(storage, kind, recipe, staging)
    finally:
        shutil.rmtree(staging)


def _built_here() -> Built:
    libraries = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            libraries[name] = "not installed"
    return Built(
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        host=platform.node(),
        libraries=libraries,
    )
