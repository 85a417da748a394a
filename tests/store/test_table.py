"""Tables: how they are written, streamed and read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clc.errors import StoreError
from clc.store import Kind, Recipe, Store, TableWriter, Version

RECIPE = Recipe(stage="test", stage_version=1)
SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("webp", pa.binary()),
        ("key", pa.list_(pa.float32(), 8)),
        ("neighbours", pa.list_(pa.int32())),
        ("weights", pa.large_list(pa.float64())),
    ]
)


def rows(count: int) -> pa.Table:
    keys = pa.FixedSizeListArray.from_arrays(np.arange(count * 8, dtype=np.float32), 8)
    columns = [[f"{i}" for i in range(count)], [b"x"] * count, keys, [[i] for i in range(count)], [[0.5]] * count]
    return pa.table(columns, schema=SCHEMA)


@pytest.fixture
def version(store: Store) -> Version:
    with store.draft(Kind.PATCHES, RECIPE) as draft:
        with draft.table("patches", SCHEMA) as table:
            for start in range(0, 100, 7):
                table.write(rows(100)[start : start + 7].combine_chunks().to_batches()[0])
        return draft.publish()


def test_what_was_written_in_batches_reads_back(version: Version) -> None:
    assert version.rows("patches") == 100
    assert version.table("patches").equals(rows(100))
    assert version.schema("patches").equals(SCHEMA)


def test_columns_come_in_the_order_asked_for(version: Version) -> None:
    assert version.table("patches", ["key", "label"]).column_names == ["key", "label"]
    assert next(version.batches("patches", ["webp", "label"])).schema.names == ["webp", "label"]


def test_batches_are_bounded_and_complete(version: Version) -> None:
    batches = list(version.batches("patches", batch_rows=30))
    assert [batch.num_rows for batch in batches] == [30, 30, 30, 10]
    assert pa.Table.from_batches(batches).equals(rows(100))


@pytest.mark.parametrize("wanted", [range(100), range(40), range(13, 14), range(33, 77), range(90, 120), range(5, 5)])
def test_a_range_of_rows_reads_back_from_any_row_groups(
    store: Store, monkeypatch: pytest.MonkeyPatch, wanted: range
) -> None:
    monkeypatch.setattr("clc.store.table.ROW_GROUP_ROWS", 16)
    with store.draft(Kind.PATCHES, RECIPE) as draft:
        with draft.table("patches", SCHEMA) as table:
            table.write(rows(100))
        version = draft.publish()
    batches = version.batches("patches", ["label"], batch_rows=10, rows=wanted)
    labels = [label for batch in batches for label in batch["label"].to_pylist()]
    assert labels == [str(row) for row in range(100)[wanted.start : wanted.stop]]


def test_an_empty_table_keeps_its_schema(store: Store) -> None:
    with store.draft(Kind.PATCHES, RECIPE) as draft:
        with draft.table("patches", SCHEMA):
            pass
        version = draft.publish()
    assert version.rows("patches") == 0
    assert version.table("patches").schema.equals(SCHEMA)
    assert sum(batch.num_rows for batch in version.batches("patches")) == 0


def test_encodings_follow_the_column_type(tmp_path) -> None:
    with TableWriter(tmp_path / "x.parquet", SCHEMA) as table:
        table.write(rows(50))
    group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    assert columns["webp"].compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in columns["webp"].encodings
    assert columns["label"].compression == "ZSTD"
    for vector in ("key.list.element", "weights.list.element"):
        assert columns[vector].compression == "ZSTD"
        assert "BYTE_STREAM_SPLIT" in columns[vector].encodings
    assert columns["neighbours.list.element"].compression == "ZSTD"


def test_the_file_says_which_format_version_it_follows(version: Version, store: Store) -> None:
    path = store.storage.full_path(version.locate(version.manifest.files["patches"]))
    assert pq.read_schema(path).metadata[b"clc.format_version"] == b"1"


def test_row_groups_stay_near_sixteen_megabytes(tmp_path) -> None:
    schema = pa.schema([("feature", pa.list_(pa.float32(), 43008))])
    feature = pa.FixedSizeListArray.from_arrays(np.zeros(43008 * 150, np.float32), 43008)
    with TableWriter(tmp_path / "x.parquet", schema) as table:
        table.write(pa.table([feature], schema=schema))
        for row in range(80):
            table.write(pa.table([feature[row : row + 1]], schema=schema))
    metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sum(groups) == 230
    assert max(groups) * 43008 * 4 <= 16 << 20
    assert len(groups) == 3


@pytest.mark.medium
def test_streaming_holds_a_few_row_groups_not_the_table(store: Store) -> None:
    schema = pa.schema([("feature", pa.list_(pa.float32(), 43008))])
    feature = pa.FixedSizeListArray.from_arrays(np.zeros(43008 * 50, np.float32), 43008)
    limit = pa.total_allocated_bytes() + (64 << 20)
    with store.draft(Kind.FEATURES, RECIPE) as draft:
        with draft.table("features", schema) as table:
            for _ in range(20):
                table.write(pa.table([feature], schema=schema))
                assert pa.total_allocated_bytes() < limit
        version = draft.publish()
    assert version.manifest.files["features"].rows * 43008 * 4 > 160 << 20
    for _ in version.batches("features"):
        assert pa.total_allocated_bytes() < limit


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (rows(1).drop(["webp"]), "a batch has columns"),
        (rows(1).cast(SCHEMA.set(0, pa.field("label", pa.binary()))), "a batch has columns"),
        (
            pa.table([["a"], [b""], [None], [[1]], [[1.0]]], schema=SCHEMA),
            "column 'key' has missing vectors",
        ),
    ],
    ids=["column missing", "other type", "null vector"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, batch: pa.Table, message: str) -> None:
    with TableWriter(tmp_path / "x.parquet", SCHEMA) as table, pytest.raises(StoreError, match=message):
        table.write(batch)


def test_a_null_in_a_column_declared_without_is_refused(tmp_path) -> None:
    schema = pa.schema([pa.field("index", pa.int32(), nullable=False)])
    table = TableWriter(tmp_path / "x.parquet", schema)
    table.write(pa.table([pa.array([None], pa.int32())], names=["index"]))
    with pytest.raises(StoreError, match="non-nullable"):
        table.close()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (pa.schema([("a.b", pa.int8())]), "'a.b' is empty or has a dot"),
        (pa.schema([("a", pa.int8()), ("a", pa.int8())]), "distinct column names"),
    ],
    ids=["dot", "duplicate"],
)
def test_unusable_column_names_are_refused(tmp_path, schema: pa.Schema, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        TableWriter(tmp_path / "x.parquet", schema)


def test_asking_for_what_is_not_there_says_what_is(version: Version) -> None:
    with pytest.raises(StoreError, match=r"no columns \['colour'\]; it has \['label', 'webp'"):
        version.table("patches", ["colour"])
    with pytest.raises(StoreError, match=r"no table 'entries'; it has \['patches'\]"):
        version.rows("entries")
    with pytest.raises(StoreError, match=r"no tensors 'patches'"):
        version.tensors("patches")
