"""A Parquet file of photos as a photo source: one row a photo, the encoded file in the column `image`."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto

REQUIRED_COLUMNS = ("image_id", "width", "height", "source", "licence", "image")

_TEXT = (pa.string(), pa.large_string())
_TYPES = {
    "image_id": _TEXT,
    "source": _TEXT,
    "licence": _TEXT,
    "image": (pa.binary(), pa.large_binary()),
    "split": _TEXT,
    "scene": _TEXT,
}

_BATCH_ROWS = 8  # photos are megabytes each: a batch stays small however large the row groups are


class ParquetSource:
    """The rows of a Parquet file, in file order.

    Required columns: image_id, source, licence (strings), width, height (integers), image (binary). Optional: split,
    scene (strings, null where a photo has none).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = f"parquet:{path}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the file is not Parquet, lacks a column, or has a row without id or image."""
        try:
            with pq.ParquetFile(self.path) as file:
                columns = self._photo_columns(file.schema_arrow)
                groups, skip = _groups_from(file, start)
                batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups, columns=columns)
                rows = (row for batch in batches for row in batch.to_pylist())
                wanted = islice(rows, start - skip, None if stop is None else max(stop, start) - skip)
                yield from map(self._photo, wanted)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{self.spec}: cannot be read as Parquet: {error}") from error

    def _photo_columns(self, schema: pa.Schema) -> list[str]:
        missing = [name for name in REQUIRED_COLUMNS if name not in schema.names]
        if missing:
            raise SourceError(f"{self.spec}: lacks the columns {', '.join(missing)}; it has {', '.join(schema.names)}")
        columns = [name for name in _TYPES if name in schema.names]
        for name in columns:
            if schema.field(name).type not in _TYPES[name]:
                raise SourceError(
                    f"{self.spec}: the column {name} is {schema.field(name).type}, it must be {_TYPES[name][0]}"
                )
        return columns

    def _photo(self, row: dict) -> EncodedPhoto:
        if row["image_id"] is None or row["image"] is None:
            raise SourceError(f"{self.spec}: a row has no image_id or no image ({row['image_id']!r})")
        return EncodedPhoto(
            image_id=row["image_id"],
            data=row["image"],
            source=row["source"] or "unknown",
            licence=row["licence"] or "unknown",
            split=row.get("split"),
            scene=row.get("scene"),
        )


def _groups_from(file: pq.ParquetFile, start: int) -> tuple[list[int], int]:
    """The row groups from the one with row `start` on, and how many rows come before them."""
    skipped = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if skipped + rows > start:
            return list(range(group, file.num_row_groups)), skipped
        skipped += rows
    return [], skipped
