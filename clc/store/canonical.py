"""Canonical JSON: one byte string per value, so that its SHA-256 names the value."""

import hashlib
import json
from typing import Any

from clc.errors import StoreError


def canonical_json(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON with sorted keys, no whitespace and floats as Python's shortest `repr`.

    Raises StoreError if `value` is not JSON: NaN, infinities, lone surrogates, keys other than strings, objects.

    >>> canonical_json({"b": 1.0, "a": [True, None, "é"]}).decode()
    '{"a":[true,null,"é"],"b":1.0}'
    """
    try:
        _refuse_other_keys(value)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"not representable as JSON: {error}; use finite numbers, strings, lists and dictionaries"
        ) from error


def canonical_sha256(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value` in hexadecimal. Raises StoreError as `canonical_json`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _refuse_other_keys(value: Any) -> None:
    # json.dumps turns the keys 1 and True into "1" and "true": two values would then share one text.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
            _refuse_other_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item)
