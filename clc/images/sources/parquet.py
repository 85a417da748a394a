"""A Parquet file of photos as a photo source: one row a photo, the encoded file in the column `image`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto
from clc.images.sources.remote_folder import open_url, remote_failures

REQUIRED_COLUMNS = ("image",)
_TEXT_COLUMNS = ("image_id", "source", "licence", "split", "scene")

_ONLY_A_PATH = "only its path is in the file, no bytes; write the file again with its images embedded"
_BATCH_ROWS = 8  # photos are megabytes each: a batch stays small however large the row groups are


class ParquetSource:
    """The rows of a Parquet file, in file order.

    Required column: image, the encoded file: binary (of fixed size too), or Hugging Face's struct of `bytes` and
    `path`. Optional:
    image_id, source, licence, split, scene (strings, null where a photo has none); others are not looked at. Columns
    may be large, view or dictionary-encoded. A photo without image_id is called by its path, with its row if others
    have the same, else by its row.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path  # or a URL
        self.spec = f"parquet:{path}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the file is not Parquet or lacks its column, or a column is of a wrong type.

        A row without image is an empty photo, which no decoder takes; of a row with a path alone, that is said. The
        path is not followed: it is one of the machine that the file was made on.
        """
        try:
            with self._open() as stored, pq.ParquetFile(stored) as file:
                columns = self._photo_columns(file.schema_arrow)
                shared = self._shared_paths(file)
                groups, skip = _groups_from(file, start)
                batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups, columns=columns)
                rows = (row for batch in batches for row in self._rows(batch))
                numbered = enumerate(rows, skip)
                for number, row in islice(numbered, start - skip, None if stop is None else max(stop, start) - skip):
                    yield self._photo(number, row, shared)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise SourceError(f"{self.spec}: cannot be read as Parquet: {' '.join(str(error).split())}") from error

    def _open(self) -> AbstractContextManager[Any]:
        if isinstance(self.path, Path):
            return self.path.open("rb")
        filesystem, path = open_url(self.path, self.spec)
        with remote_failures(f"{self.spec}: cannot be opened"):
            opened: AbstractContextManager[Any] = filesystem.open(path)
        return opened

    def _photo_columns(self, schema: pa.Schema) -> list[str]:
        names = schema.names
        missing = [name for name in REQUIRED_COLUMNS if name not in names]
        if missing:
            raise SourceError(f"{self.spec}: lacks the columns {', '.join(missing)}; it has {', '.join(names)}")
        columns = [name for name in ("image", *_TEXT_COLUMNS) if name in names]
        for name in columns:
            if names.count(name) > 1:
                raise SourceError(f"{self.spec}: has {names.count(name)} columns {name}; rename or drop all but one")
            type = schema.field(name).type
            if not (_is_image(type) if name == "image" else _is_text(type)):
                must_be = "binary, or a struct of bytes and path" if name == "image" else "string"
                raise SourceError(f"{self.spec}: the column {name} is {type}, it must be {must_be}")
        return columns

    def _rows(self, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
        columns = {name: self._values(name, batch.column(name)) for name in batch.schema.names}
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

    def _values(self, name: str, column: pa.Array) -> list[Any]:
        try:
            values: list[Any] = column.to_pylist()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self.spec}: the column {name} holds text that is not UTF-8 ({error.reason}); write it again as UTF-8"
            ) from error
        return values

    def _photo(self, number: int, row: dict[str, Any], shared: frozenset[str]) -> EncodedPhoto:
        image: Any = row["image"]
        path = None
        if isinstance(image, dict):
            image, path = image.get("bytes"), image.get("path")
        return EncodedPhoto(
            image_id=row.get("image_id") or (f"{path} (row {number})" if path in shared else path) or f"row-{number}",
            data=image or b"",
            source=row.get("source") or "unknown",
            licence=row.get("licence") or "unknown",
            split=row.get("split"),
            scene=row.get("scene"),
            missing=_ONLY_A_PATH if path and not image else None,
        )

    def _shared_paths(self, file: pq.ParquetFile) -> frozenset[str]:
        """Hugging Face keeps a path's last part alone, which photos of several folders have in common."""
        type = file.schema_arrow.field("image").type
        if not pa.types.is_struct(type) or "path" not in {field.name for field in type}:
            return frozenset()
        counts: Counter[str] = Counter()
        for batch in file.iter_batches(columns=["image.path"]):
            paths = (image and image["path"] for image in self._values("image", batch.column("image")))
            counts.update(path for path in paths if path)
        return frozenset(path for path, count in counts.items() if count > 1)


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if pa.types.is_dictionary(type) else type


def _is_text(type: pa.DataType) -> bool:
    plain = _plain(type)
    return plain in (pa.string(), pa.large_string(), pa.string_view()) or pa.types.is_null(plain)


def _is_binary(type: pa.DataType) -> bool:
    plain = _plain(type)
    known = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.null())  # null: no row has any
    return plain in known or pa.types.is_fixed_size_binary(plain)


def _is_image(type: pa.DataType) -> bool:
    if not pa.types.is_struct(type):
        return _is_binary(type)
    fields = {field.name: field.type for field in type}
    if len(fields) < type.num_fields:
        return False  # two of one name
    return "bytes" in fields and _is_binary(fields["bytes"]) and _is_text(fields.get("path", pa.string()))


def _groups_from(file: pq.ParquetFile, start: int) -> tuple[list[int], int]:
    """The row groups from the one with row `start` on, and how many rows come before them."""
    skipped = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if skipped + rows > start:
            return list(range(group, file.num_row_groups)), skipped
        skipped += rows
    return [], skipped
