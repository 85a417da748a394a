"""The content address: what changes it, what does not, and what it is to the byte."""

import hashlib
import json
import struct
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clc.errors import StoreError
from clc.store import DERIVED, ColumnHasher, Kind, Recipe, Store, Version, canonical_json, tensor_sha256

RECIPE = Recipe(stage="test", stage_version=1)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def column_sha256(array: pa.Array) -> str:
    hasher = ColumnHasher(array.type)
    hasher.update(array)
    return hasher.hexdigest()


def publish(store: Store, *tables: pa.Table, prepare: Callable[..., object] = lambda draft: None) -> Version:
    """Publish the given tables as consecutive batches of one."""
    with store.draft(Kind.RESULTS, RECIPE) as draft:
        prepare(draft)
        with draft.table("rows", tables[0].schema) as table:
            for batch in tables:
                table.write(batch)
        return draft.publish()


COLUMNS = [
    pa.array([True, None, False, True, True]),
    pa.array([1, -2, None, 4, 5], pa.int16()),
    pa.array([1.5, None, -0.0, float("nan"), 2.0], pa.float32()),
    pa.array([1.5, 2.5, 3.5, 4.5, 5.5], pa.float64()).cast(pa.float16()),
    pa.array(["a", "", None, "ünï", "e"]),
    pa.array(["a", "", None, "ünï", "e"], pa.large_string()),
    pa.array([b"\0", b"", None, b"xyz", b"e"], pa.binary()),
    pa.array([b"ab", b"cd", None, b"ef", b"gh"], pa.binary(2)),
    pa.array([[1, 2], [8, 9], [3, 4], [5, None], [6, 7]], pa.list_(pa.int32(), 2)),
    pa.array([[1], [], None, [2, None, 3], [4, 5]], pa.list_(pa.float32())),
    pa.array([[1], [], None, [2, None, 3], [4, 5]], pa.large_list(pa.uint8())),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: str(column.type))
class TestColumnHash:
    def test_does_not_depend_on_chunking(self, column: pa.Array) -> None:
        whole, pieces = ColumnHasher(column.type), ColumnHasher(column.type)
        whole.update(column)
        pieces.update(pa.chunked_array([column[:1], column[1:1], column[1:4]]))
        pieces.update(column[4:])
        assert whole.hexdigest() == pieces.hexdigest()

    def test_does_not_depend_on_what_a_slice_hides(self, column: pa.Array) -> None:
        padded = pa.concat_arrays([column[3:], column, column[:2]])
        assert column_sha256(padded[2:7]) == column_sha256(column)

    def test_survives_parquet_in_any_row_group_size(self, column: pa.Array, tmp_path) -> None:
        pq.write_table(pa.table({"column": column}), tmp_path / "x.parquet", row_group_size=2)
        read = pq.read_table(tmp_path / "x.parquet").column("column")
        assert column_sha256(read.combine_chunks()) == column_sha256(column)

    def test_depends_on_every_row(self, column: pa.Array) -> None:
        hashes = {column_sha256(pa.concat_arrays([column[:i], column[i + 1 :]])) for i in range(len(column))}
        assert column_sha256(column) not in hashes

    def test_depends_on_the_order_of_rows(self, column: pa.Array) -> None:
        assert column_sha256(column.take(pa.array([4, 3, 2, 1, 0]))) != column_sha256(column)


def test_values_under_nulls_are_ignored() -> None:
    mask = np.array([False, True])
    one, two = (pa.array(np.array([1, hidden], np.int32), mask=mask) for hidden in (2, 3))
    assert column_sha256(one) == column_sha256(two)


def test_moving_bytes_between_strings_changes_the_hash() -> None:
    assert column_sha256(pa.array(["ab", "c"])) != column_sha256(pa.array(["a", "bc"]))


def test_vectors_under_nulls_are_ignored() -> None:
    one, two = pa.array([1, 2, 0, 0], pa.int8()), pa.array([1, 2, 5, 6], pa.int8())
    mask = pa.array([False, True])
    hashes = {column_sha256(pa.FixedSizeListArray.from_arrays(values, 2, mask=mask)) for values in (one, two)}
    assert len(hashes) == 1


def test_null_differs_from_empty() -> None:
    assert column_sha256(pa.array([""])) != column_sha256(pa.array([None], pa.string()))
    assert column_sha256(pa.array([[]], pa.list_(pa.int8()))) != column_sha256(pa.array([None], pa.list_(pa.int8())))


def test_floats_are_hashed_by_bit_pattern() -> None:
    payload = np.array([0x7FC00001], np.uint32).view(np.float32)
    hashes = {column_sha256(pa.array(np.float32([value]))) for value in (0.0, -0.0, np.nan)}
    assert len(hashes | {column_sha256(pa.array(payload))}) == 4


def test_big_endian_and_strided_tensors_hash_as_their_values() -> None:
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert tensor_sha256(tensor.astype(">f4")) == tensor_sha256(tensor) == sha256(struct.pack("<6f", *range(6)))
    assert tensor_sha256(np.asfortranarray(tensor)) == tensor_sha256(tensor)
    assert tensor_sha256(tensor[:, ::2]) == tensor_sha256(tensor[:, ::2].copy())


@pytest.mark.parametrize(
    "type",
    [pa.timestamp("us"), pa.struct([("a", pa.int8())]), pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.string())],
    ids=str,
)
def test_a_type_without_a_defined_hash_is_refused_by_column_name(store: Store, type: pa.DataType) -> None:
    with (
        store.draft(Kind.RESULTS, RECIPE) as draft,
        pytest.raises(StoreError, match="column 'when' has type"),
        draft.table("rows", pa.schema([("when", type)])),
    ):
        pass


class TestId:
    rows = pa.table({"name": ["a", "b", "c"], "psnr": [30.0, 31.5, 29.0]})

    def test_does_not_depend_on_how_rows_were_batched(self, tmp_path) -> None:
        whole = publish(Store(tmp_path / "one"), self.rows)
        pieces = publish(Store(tmp_path / "two"), self.rows[:1], self.rows[1:1], self.rows[1:])
        assert whole.id == pieces.id

    def test_does_not_depend_on_row_groups(self, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = publish(Store(tmp_path / "one"), self.rows)
        monkeypatch.setattr("clc.store.table.ROW_GROUP_ROWS", 1)
        split = publish(Store(tmp_path / "two"), self.rows)
        assert split.manifest.files["rows"].sha256 != whole.manifest.files["rows"].sha256
        assert split.id == whole.id

    def test_depends_on_every_value(self, store: Store) -> None:
        other = self.rows.set_column(1, "psnr", pa.array([30.0, 31.5, 29.000001]))
        assert publish(store, self.rows).id != publish(store, other).id

    def test_depends_on_names_types_and_order_of_columns(self, store: Store) -> None:
        variants = [
            self.rows,
            self.rows.rename_columns(["name", "ssim"]),
            self.rows.select(["psnr", "name"]),
            self.rows.cast(pa.schema([("name", pa.string()), ("psnr", pa.float32())])),
        ]
        assert len({publish(store, table).id for table in variants}) == len(variants)

    def test_depends_on_attributes_but_not_on_statistics(self, store: Store) -> None:
        plain = publish(store, self.rows)
        timed = publish(store, self.rows, prepare=lambda draft: draft.statistics.update(seconds=3.5))
        configured = publish(store, self.rows, prepare=lambda draft: draft.attributes.update(quality=3))
        assert timed.id == plain.id != configured.id

    def test_does_not_depend_on_the_recipe(self, store: Store) -> None:
        first = publish(store, self.rows)
        with store.draft(Kind.RESULTS, Recipe(stage="other", stage_version=7)) as draft:
            with draft.table("rows", self.rows.schema) as table:
                table.write(self.rows)
            assert draft.publish() == first

    def test_leaves_out_the_values_of_derived_columns_but_not_the_column(self, store: Store, tmp_path) -> None:
        def encoded(data: bytes) -> pa.Table:
            schema = pa.schema([("sha256", pa.binary(2)), pa.field("webp", pa.binary(), metadata=DERIVED)])
            return pa.table([pa.array([b"ab"], pa.binary(2)), pa.array([data])], schema=schema)

        one = publish(store, encoded(b"one encoder"))
        two = publish(Store(tmp_path / "other"), encoded(b"another encoder"))
        assert one.id == two.id != publish(store, encoded(b"").drop(["webp"])).id
        assert one.manifest.files["rows"].sha256 != two.manifest.files["rows"].sha256

    def test_is_to_the_byte_what_the_format_says(self, store: Store) -> None:
        """Computed from docs/artifacts.md alone: a change here makes every published id unreachable."""
        schema = pa.schema([("name", pa.string()), ("key", pa.list_(pa.float32(), 2)), ("n", pa.int16())])
        rows = pa.table([["ab", None, "c"], [[1, 2], [3, 4], [5, 6]], [7, 8, 9]], schema=schema)
        with store.draft(Kind.CLUSTERS, RECIPE) as draft:
            draft.attributes.update({"k": 3, "τ": 0.1})
            with draft.table("rows", schema) as table:
                table.write(rows)
            draft.tensors("basis", {"mean": np.float32([1, 2])})
            version = draft.publish()

        none = sha256(b"")
        columns = {
            "name": {
                "count": 3,
                "nulls": sha256(struct.pack("<q", 1)),
                "lengths": sha256(struct.pack("<2q", 2, 1)),
                "values": sha256(b"abc"),
            },
            "key": {
                "count": 3,
                "nulls": none,
                "items": {"count": 6, "nulls": none, "values": sha256(struct.pack("<6f", 1, 2, 3, 4, 5, 6))},
            },
            "n": {"count": 3, "nulls": none, "values": sha256(struct.pack("<3h", 7, 8, 9))},
        }
        types = {"name": "string", "key": "fixed_size_list<float32>[2]", "n": "int16"}
        content = {
            "format_version": 1,
            "kind": "clusters",
            "attributes": {"k": 3, "τ": 0.1},
            "files": {
                "basis": {
                    "type": "tensors",
                    "tensors": {"mean": {"dtype": "float32", "shape": [2], "sha256": sha256(struct.pack("<2f", 1, 2))}},
                },
                "rows": {
                    "type": "table",
                    "rows": 3,
                    "columns": [
                        {
                            "name": name,
                            "type": types[name],
                            "derived": False,
                            "sha256": sha256(json.dumps(streams, sort_keys=True, separators=(",", ":")).encode()),
                        }
                        for name, streams in columns.items()
                    ],
                },
            },
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert version.id == sha256(text.encode())
        assert version.id == "2e9a92add7cea4f9ad5198c5b053dee082fd07865f0b00fa75133f1efebdaa51"


class TestCanonicalJson:
    def test_ignores_the_order_of_keys_only(self) -> None:
        assert (
            canonical_json({"b": [2, 1], "a": 0.1}) == canonical_json({"a": 0.1, "b": [2, 1]}) == b'{"a":0.1,"b":[2,1]}'
        )
        assert canonical_json([1, 2]) != canonical_json([2, 1])

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), {1: "a"}, {"a": {None: 1}}, b"bytes", "\ud800", {"set": {1}}], ids=repr
    )
    def test_refuses_what_is_not_json(self, value: object) -> None:
        with pytest.raises(StoreError, match="not representable as JSON"):
            canonical_json(value)
