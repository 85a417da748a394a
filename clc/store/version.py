"""A published version: its manifest and readers for its files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

from clc.errors import CorruptArtifactError, StoreError
from clc.store.identity import short_id
from clc.store.kind import Kind
from clc.store.layout import manifest_path, version_directory
from clc.store.manifest import Manifest, TableEntry, TensorsEntry, describe_columns
from clc.store.storage import Storage


@dataclass(frozen=True, eq=False, repr=False)
class Version:
    """An immutable artifact. Two versions are equal if kind and id are: the id addresses the content.

    Readers raise StoreError for a table, column or tensors file that the version does not have, and
    CorruptArtifactError, naming the file, if it is missing, has another size or cannot be decoded. `verify` checks
    every hash.

    >>> from clc.store import Kind, Recipe, Store
    >>> schema = pa.schema([("index", pa.int32()), ("label", pa.string())])
    >>> with Store("memory://version-example").draft(Kind.DICTIONARY, Recipe(stage="index", stage_version=1)) as draft:
    ...     with draft.table("entries", schema) as table:
    ...         table.write(pa.table([pa.array([7, 8], pa.int32()), pa.array(["a", "b"])], schema=schema))
    ...     version = draft.publish()
    >>> version.table("entries", columns=["label"]).to_pydict()
    {'label': ['a', 'b']}
    >>> [batch.num_rows for batch in version.batches("entries", batch_rows=1)]
    [1, 1]
    """

    storage: Storage
    manifest: Manifest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.ref == other.ref

    def __hash__(self) -> int:
        return hash(self.ref)

    def __str__(self) -> str:
        return f"{self.kind}/{self.short_id}"

    def __repr__(self) -> str:
        return f"Version({self})"

    @property
    def kind(self) -> Kind:
        """What the version is."""
        return self.manifest.kind

    @property
    def id(self) -> str:
        """The content address, 64 hex digits."""
        return self.manifest.id

    @property
    def short_id(self) -> str:
        """The first 16 digits of the id: directory name, display, bitstreams."""
        return short_id(self.id)

    @property
    def ref(self) -> str:
        """The version as an input of a recipe: "kind/full-id"."""
        return f"{self.kind}/{self.id}"

    @property
    def attributes(self) -> dict[str, Any]:
        """JSON that belongs to the content, such as the configuration that readers need."""
        return self.manifest.attributes

    @property
    def statistics(self) -> dict[str, Any]:
        """JSON about the build: counts, timings."""
        return self.manifest.statistics

    @property
    def directory(self) -> str:
        """Where the version lies, as messages show it."""
        return self.storage.display(version_directory(self.kind, self.id))

    def rows(self, name: str) -> int:
        """Return the number of rows of a table. Raises StoreError if there is no such table."""
        return self._table_entry(name).rows

    def schema(self, name: str) -> pa.Schema:
        """Return the Arrow schema of a table. Raises CorruptArtifactError if it is not the one of the manifest."""
        entry = self._table_entry(name)
        with self._reading(entry) as parquet:
            schema = parquet.schema_arrow
        found = [(column.name, column.type, column.derived) for column in describe_columns(schema, {})]
        promised = [(column.name, column.type, column.derived) for column in entry.columns]
        if found != promised:
            raise self._damaged(self.locate(entry), f"has columns {found}, the manifest says {promised}")
        return schema

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a table, or the named columns in that order, into memory."""
        entry = self._table_entry(name)
        wanted = _wanted(entry, name, columns)
        with self._reading(entry) as parquet:
            return parquet.read(columns=wanted).select(wanted)

    def batches(
        self, name: str, columns: Sequence[str] | None = None, *, batch_rows: int = 256, rows: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream a table in batches of at most `batch_rows`, holding about one row group in memory.

        The columns come in the order asked for; no batch spans two row groups. rows: only these, a range of step 1;
        row groups that hold none of them are not read.
        """
        entry = self._table_entry(name)
        wanted = _wanted(entry, name, columns)
        with self._reading(entry) as parquet:
            # One iterator over all row groups would keep every decoded group alive until its end.
            first = 0  # row of the table
            for group in range(parquet.num_row_groups):
                after = first + parquet.metadata.row_group(group).num_rows
                if rows is None or (first < rows.stop and rows.start < after):
                    for batch in parquet.iter_batches(batch_size=batch_rows, row_groups=[group], columns=wanted):
                        chosen = batch if rows is None else _between(batch, first, rows)
                        if len(chosen):
                            yield chosen.select(wanted)
                        first += len(batch)
                first = after

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Read all tensors of a file."""
        entry = self.manifest.files.get(name)
        if not isinstance(entry, TensorsEntry):
            raise StoreError(f"{self} has no tensors {name!r}; it has {sorted(self.manifest.files)}")
        path = self.locate(entry)
        data = self.storage.read(path)
        try:
            return safetensors.numpy.load(data or b"")
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise self._damaged(path, f"cannot be decoded ({error})") from error

    def locate(self, entry: TableEntry | TensorsEntry) -> str:
        """Return the path of a file in the storage.

        Raises CorruptArtifactError if it is missing or has another size.
        """
        path = f"{version_directory(self.kind, self.id)}/{entry.path}"
        size = self.storage.size(path)
        if size is None:
            raise self._damaged(path, "is missing")
        if size != entry.bytes:
            raise self._damaged(path, f"has {size} bytes, the manifest says {entry.bytes}")
        return path

    def _table_entry(self, name: str) -> TableEntry:
        entry = self.manifest.files.get(name)
        if not isinstance(entry, TableEntry):
            raise StoreError(f"{self} has no table {name!r}; it has {sorted(self.manifest.files)}")
        return entry

    @contextmanager
    def _reading(self, entry: TableEntry) -> Iterator[pq.ParquetFile]:
        path = self.locate(entry)
        try:
            with pq.ParquetFile(
                self.storage.full_path(path),
                # pyarrow replaces fsspec's local file system by its own, which reads without Python's lock.
                filesystem=self.storage.file_system,
                page_checksum_verification=True,
            ) as parquet:
                yield parquet
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(path, f"cannot be decoded ({error})") from error

    def _damaged(self, path: str, what: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"{self.storage.display(path)} {what}; restore it from a copy, or delete {self.directory} "
            "and rebuild the version"
        )


def load_version(storage: Storage, kind: Kind, id: str) -> Version | None:
    """Return the version whose full or short id is `id`, None if no manifest is there.

    Raises CorruptArtifactError if the manifest does not match its own hashes or lies in the wrong directory.
    """
    path = manifest_path(kind, id)
    data = storage.read(path)
    if data is None:
        return None
    manifest = Manifest.parse(data, storage.display(path))
    if manifest.kind != kind or short_id(manifest.id) != short_id(id):
        raise CorruptArtifactError(
            f"{storage.display(path)} is the manifest of {manifest.kind}/{manifest.id}; move its directory back"
        )
    return Version(storage, manifest)


def _between(batch: pa.RecordBatch, first: int, rows: range) -> pa.RecordBatch:
    """Those rows of a batch, which begins at row `first` of its table, that are among `rows`."""
    start, stop = max(rows.start - first, 0), min(rows.stop - first, len(batch))
    return batch.slice(start, max(stop - start, 0)) if start < len(batch) else batch.slice(0, 0)


def _wanted(entry: TableEntry, name: str, columns: Sequence[str] | None) -> list[str]:
    available = [column.name for column in entry.columns]
    unknown = [column for column in columns or [] if column not in available]
    if unknown:
        raise StoreError(f"table {name!r} has no columns {unknown}; it has {available}")
    return available if columns is None else list(columns)
