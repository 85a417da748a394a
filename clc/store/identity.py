"""Content address: SHA-256 over logical values, whatever bytes a Parquet writer makes of them.

Parquet bytes differ between pyarrow versions, row-group sizes and chunkings; the values do not. A column is hashed
as a few streams (see docs/artifacts.md): where the nulls are, how long the variable-length values are, and the
little-endian values themselves. Floats are hashed by bit pattern: -0.0 differs from 0.0, and NaNs with different
payloads differ.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from clc.errors import StoreError
from clc.store.canonical import canonical_sha256

SHORT_ID_DIGITS = 16

# Metadata of a schema field whose values are not part of the identity: they can be rebuilt from, or are vouched for
# by, other columns (encoded image bytes beside the SHA-256 of their pixels; a serialised search index).
DERIVED = {"clc.identity": "derived"}

_FIXED_WIDTH = {
    pa.bool_(): "bool",
    pa.int8(): "int8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint8(): "uint8",
    pa.uint16(): "uint16",
    pa.uint32(): "uint32",
    pa.uint64(): "uint64",
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
}

# What tables and tensors are made of, by name.
NUMBERS = frozenset(_FIXED_WIDTH.values())


def short_id(id: str) -> str:
    """Return the 16 hex digits that name the directory and travel in bitstreams."""
    return id[:SHORT_ID_DIGITS]


def is_derived(field: pa.Field) -> bool:
    """Say whether a schema field is marked as no part of the identity."""
    return (field.metadata or {}).get(b"clc.identity") == b"derived"


def type_name(type: pa.DataType, column: str = "") -> str:
    """Return the logical name of an Arrow type: 32- and 64-bit offsets are the same type.

    Raises StoreError, naming the column, for types without a defined hash (structs, timestamps, dictionaries ...).

    >>> type_name(pa.list_(pa.float32(), 256)), type_name(pa.large_string())
    ('fixed_size_list<float32>[256]', 'string')
    """
    if type in _FIXED_WIDTH:
        return _FIXED_WIDTH[type]
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return "string"
    if pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return "binary"
    if pa.types.is_fixed_size_binary(type):
        return f"fixed_size_binary[{type.byte_width}]"
    if pa.types.is_fixed_size_list(type) and type.value_type in _FIXED_WIDTH:
        return f"fixed_size_list<{_FIXED_WIDTH[type.value_type]}>[{type.list_size}]"
    if (pa.types.is_list(type) or pa.types.is_large_list(type)) and type.value_type in _FIXED_WIDTH:
        return f"list<{_FIXED_WIDTH[type.value_type]}>"
    raise StoreError(
        f"column {column!r} has type {type}, which artifacts do not hold; use bool, integers, floats, strings, "
        "binary, or lists of numbers"
    )


class ColumnHasher:
    """Hashes one column as it is written, independent of how its rows are grouped.

    Raises StoreError for a type that artifacts do not hold.

    >>> whole, pieces = ColumnHasher(pa.string()), ColumnHasher(pa.string())
    >>> whole.update(pa.array(["a", None, "bc"]))
    >>> pieces.update(pa.array(["a"]))
    >>> pieces.update(pa.array(["z", None, "bc"]).slice(1))
    >>> whole.hexdigest() == pieces.hexdigest()
    True
    """

    def __init__(self, type: pa.DataType) -> None:
        self._name = type_name(type)
        self._count = 0
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256() if self._name in ("string", "binary") or _is_list(type) else None
        nested = _is_list(type) or pa.types.is_fixed_size_list(type)
        self._items = ColumnHasher(type.value_type) if nested else None
        self._values = hashlib.sha256() if self._items is None else None

    def update(self, values: pa.Array | pa.ChunkedArray) -> None:
        """Add the next rows."""
        for array in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            if len(array):
                self._add(array)

    def hexdigest(self) -> str:
        """Return the hash of all rows so far."""
        return canonical_sha256(self._summary())

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {"count": self._count, "nulls": self._nulls.hexdigest()}
        if self._lengths is not None:
            summary["lengths"] = self._lengths.hexdigest()
        if self._values is not None:
            summary["values"] = self._values.hexdigest()
        if self._items is not None:
            summary["items"] = self._items._summary()
        return summary

    def _add(self, array: pa.Array) -> None:
        if array.null_count:
            # Positions, not a bitmap: columns without nulls (nearly all) cost nothing, and chunks need no alignment.
            nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)) + self._count
            self._nulls.update(little_endian(nulls.astype(np.int64)))
        self._count += len(array)
        if self._items is not None:
            # flatten() respects slices and leaves out whatever lies beneath a null row.
            if self._lengths is not None:
                lengths = array.value_lengths().drop_null().to_numpy(zero_copy_only=False)
                self._lengths.update(little_endian(lengths.astype(np.int64)))
            self._items.update(array.flatten())
            return
        assert self._values is not None
        present = array.drop_null() if array.null_count else array
        if self._lengths is not None:
            lengths, data = _variable_width(present)
            self._lengths.update(little_endian(lengths))
            self._values.update(data)
        elif pa.types.is_fixed_size_binary(present.type):
            self._values.update(_fixed_size_binary(present))
        else:
            self._values.update(little_endian(present.to_numpy(zero_copy_only=False)))


def tensor_sha256(tensor: np.ndarray) -> str:
    """Return the SHA-256 of a tensor's little-endian values in C order; dtype and shape stand beside it in the id."""
    return hashlib.sha256(little_endian(tensor)).hexdigest()


def little_endian(values: np.ndarray) -> memoryview:
    """Return the bytes of `values` in C order and little-endian, without a copy where they already are."""
    ordered = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8).data


def content_id(*, format_version: int, kind: str, attributes: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Return the id of a version: SHA-256 of the canonical JSON of these four.

    Raises StoreError if the attributes are not JSON.
    """
    return canonical_sha256(
        {
            "format_version": format_version,
            "kind": kind,
            "attributes": dict(attributes),
            "files": dict(files),
        }
    )


def _is_list(type: pa.DataType) -> bool:
    return pa.types.is_list(type) or pa.types.is_large_list(type)


def _variable_width(array: pa.Array) -> tuple[np.ndarray, memoryview]:
    """Lengths (int64) and concatenated bytes of a string or binary array without nulls."""
    if not len(array):
        return np.empty(0, np.int64), memoryview(b"")
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64 if large else np.int32)
    offsets = offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = memoryview(data_buffer if data_buffer is not None else b"")
    return np.diff(offsets), data[offsets[0] : offsets[-1]]


def _fixed_size_binary(array: pa.Array) -> memoryview:
    if not len(array):
        return memoryview(b"")
    width = array.type.byte_width
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]
