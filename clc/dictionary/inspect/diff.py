"""What a rebuild changed: two dictionary versions compared entry by entry, and by what they retrieve.

An entry is identified by the pixels of its picture, for its index and its key change with every rebuild.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from clc.dictionary.dictionary import Dictionary
from clc.dictionary.stages.features import vectors_of
from clc.errors import DictionaryError
from clc.store import Kind, Version

_COLUMNS = ["image_id", "x", "y", "pixels_sha256", "key", "cluster_size"]
_PROBES_AT_A_TIME = 32  # bounds the memory that their feature maps take
_ROWS_SHOWN = 10

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class DiffedEntry:
    """An entry of one of the two dictionaries: its index there, and where its picture was cut."""

    index: int
    pixels_sha256: str
    image_id: str
    x: int
    y: int


@dataclass(frozen=True)
class Move:
    """One picture, two indices."""

    index_a: int
    index_b: int
    pixels_sha256: str


@dataclass(frozen=True)
class Spread:
    """Of one number for each entry that both dictionaries have."""

    mean: float
    median: float
    max: float


@dataclass(frozen=True)
class KeyDifference:
    """An entry whose picture is the same and whose key is not.

    floats: positions in the key that differ bit for bit, as ranges: "0-3,7". largest: the largest absolute difference.
    """

    index_a: int
    index_b: int
    floats: str
    largest: float


@dataclass(frozen=True)
class KeyDrift:
    """How far keys have moved, over the entries that both dictionaries have.

    cosine_distance is 1 − cosine: 0 for equal directions, 2 for opposite ones. Without the same basis (PCA mean and
    components), keys also differ because their axes do.
    """

    entries: int
    same_basis: bool
    euclidean: Spread
    cosine_distance: Spread
    differences: tuple[KeyDifference, ...]


@dataclass(frozen=True)
class SizeChange:
    """The cluster of an entry in both dictionaries has another number of patches."""

    index_a: int
    index_b: int
    before: int
    after: int


@dataclass(frozen=True)
class AttributeChange:
    """One attribute of the configuration; None where a version does not have it."""

    name: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True)
class RetrievalOverlap:
    """The share of `number` retrieved entries whose picture both dictionaries retrieve, over probe patches."""

    number: int
    probes: int
    mean: float
    lowest: float


@dataclass(frozen=True)
class DictionaryDiff:
    """From dictionary `a` to dictionary `b`, both short ids.

    unchanged: entries whose picture is in both, those that moved included. photos_entered, photos_left: image_ids
    that have an entry in only one of the two. keys is None if `keys_reason` says why they cannot be compared;
    overlap is None without probes.
    """

    a: str
    b: str
    entries_a: int
    entries_b: int
    added: tuple[DiffedEntry, ...]
    removed: tuple[DiffedEntry, ...]
    unchanged: int
    moved: tuple[Move, ...]
    photos_entered: tuple[str, ...]
    photos_left: tuple[str, ...]
    keys: KeyDrift | None
    keys_reason: str | None
    cluster_sizes: tuple[SizeChange, ...]
    configuration: tuple[AttributeChange, ...]
    overlap: RetrievalOverlap | None

    @property
    def entries_changed(self) -> bool:
        """Whether any picture, index, key or cluster size differs."""
        same_keys = self.unchanged == 0 or (self.keys is not None and not self.keys.differences)
        return bool(self.added or self.removed or self.moved or self.cluster_sizes) or not same_keys


def diff(
    a: Version, b: Version, *, probes: NDArray[np.uint8] | None, number: int = 3, backbone: str | None = None
) -> DictionaryDiff:
    """Compare two dictionary versions.

    probes: patches uint8 [n, H, W, 3] to retrieve `number` entries for from both; without, pictures are not read and
    no backbone is opened. backbone: as for `Dictionary`, for both.
    Raises DictionaryError if a version is not a dictionary, or if probes are given and a dictionary cannot be
    searched (its backbone cannot be opened, or it has fewer than `number` entries).
    """
    for version in (a, b):
        if version.kind is not Kind.DICTIONARY:
            raise DictionaryError(f"{version} is not a dictionary; name two versions of `clc dictionary list`")
    before, after = (version.table("entries", columns=_COLUMNS) for version in (a, b))
    hashes_a, hashes_b = _strings(before, "pixels_sha256"), _strings(after, "pixels_sha256")
    pairs = _pairs(hashes_a, hashes_b)
    photos_a, photos_b = set(_strings(before, "image_id")), set(_strings(after, "image_id"))
    keys, keys_reason = _key_drift(a, b, before, after, pairs)
    return DictionaryDiff(
        a=a.short_id,
        b=b.short_id,
        entries_a=len(before),
        entries_b=len(after),
        added=_entries(after, without={j for _, j in pairs}),
        removed=_entries(before, without={i for i, _ in pairs}),
        unchanged=len(pairs),
        moved=tuple(Move(i, j, hashes_a[i]) for i, j in pairs if i != j),
        photos_entered=tuple(sorted(photos_b - photos_a)),
        photos_left=tuple(sorted(photos_a - photos_b)),
        keys=keys,
        keys_reason=keys_reason,
        cluster_sizes=_size_changes(before, after, pairs),
        configuration=_attribute_changes(a, b),
        overlap=None if probes is None or len(probes) == 0 else _overlap(a, b, probes, number, backbone),
    )


def to_json(difference: DictionaryDiff) -> str:
    """Every field, and `entries_changed`, as indented JSON."""
    document = {"entries_changed": difference.entries_changed, **asdict(difference)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _pairs(hashes_a: Sequence[str], hashes_b: Sequence[str]) -> list[tuple[int, int]]:
    """Indices (in a, in b) of equal pictures, each entry at most once, in the order of a.

    Of several entries with one picture, those that kept their index are paired first, so that a duplicate that comes
    or goes does not make the others look moved.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for j, sha256 in enumerate(hashes_b):
        places[sha256].append(j)
    pairs = [(i, i) for i, sha256 in enumerate(hashes_a[: len(hashes_b)]) if sha256 == hashes_b[i]]
    stayed = {i for i, _ in pairs}
    waiting = {sha256: [j for j in found if j not in stayed] for sha256, found in places.items()}
    for i, sha256 in enumerate(hashes_a):
        if i not in stayed and waiting.get(sha256):
            pairs.append((i, waiting[sha256].pop(0)))
    return sorted(pairs)


def _entries(table: pa.Table, without: set[int]) -> tuple[DiffedEntry, ...]:
    rows = table.select(["image_id", "x", "y", "pixels_sha256"]).to_pylist()
    return tuple(DiffedEntry(index=index, **row) for index, row in enumerate(rows) if index not in without)


def _key_drift(
    a: Version, b: Version, before: pa.Table, after: pa.Table, pairs: list[tuple[int, int]]
) -> tuple[KeyDrift | None, str | None]:
    """The drift, or why there is none."""
    keys_a, keys_b = vectors_of(before["key"]), vectors_of(after["key"])
    if keys_a.shape[1] != keys_b.shape[1]:
        return None, f"keys have {keys_a.shape[1]} dimensions in one and {keys_b.shape[1]} in the other"
    if not pairs:
        return None, "no entry is in both dictionaries"
    rows_a, rows_b = np.array(pairs).T
    old, new = keys_a[rows_a], keys_b[rows_b]  # [pairs, dim]
    differs = old.view(np.uint32) != new.view(np.uint32)
    old, new = old.astype(np.float64), new.astype(np.float64)
    norms = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    cosine = np.divide((old * new).sum(axis=1), norms, out=np.zeros(len(pairs)), where=norms > 0)
    # Rounding must not make equal keys look a little apart.
    distance = np.where(differs.any(axis=1), np.clip(1.0 - cosine, 0.0, 2.0), 0.0)
    drift = KeyDrift(
        entries=len(pairs),
        same_basis=a.manifest.files["basis"].content() == b.manifest.files["basis"].content(),
        euclidean=_spread(np.linalg.norm(new - old, axis=1)),
        cosine_distance=_spread(distance),
        differences=tuple(
            KeyDifference(
                index_a=pairs[row][0],
                index_b=pairs[row][1],
                floats=_ranges(np.flatnonzero(differs[row])),
                largest=float(np.abs(new[row] - old[row]).max()),
            )
            for row in np.flatnonzero(differs.any(axis=1))
        ),
    )
    return drift, None


def _spread(values: NDArray[np.float64]) -> Spread:
    return Spread(float(values.mean()), float(np.median(values)), float(values.max()))


def _ranges(positions: NDArray[np.int64]) -> str:
    """Ascending positions, runs joined: [0, 1, 2, 7] → "0-2,7"."""
    texts = []
    for _, run in groupby(enumerate(positions.tolist()), key=lambda pair: pair[1] - pair[0]):
        members = [position for _, position in run]
        texts.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(texts)


def _size_changes(before: pa.Table, after: pa.Table, pairs: list[tuple[int, int]]) -> tuple[SizeChange, ...]:
    sizes_a, sizes_b = before["cluster_size"].to_pylist(), after["cluster_size"].to_pylist()
    return tuple(SizeChange(i, j, sizes_a[i], sizes_b[j]) for i, j in pairs if sizes_a[i] != sizes_b[j])


def _attribute_changes(a: Version, b: Version) -> tuple[AttributeChange, ...]:
    names = sorted(a.attributes.keys() | b.attributes.keys())
    changes = (AttributeChange(name, a.attributes.get(name), b.attributes.get(name)) for name in names)
    return tuple(change for change in changes if change.before != change.after)


def _overlap(a: Version, b: Version, probes: NDArray[np.uint8], number: int, backbone: str | None) -> RetrievalOverlap:
    if number < 1:
        raise DictionaryError(f"the number of entries to retrieve must be at least 1, not {number}")
    shares = [
        (Counter(found_a) & Counter(found_b)).total() / number
        for found_a, found_b in zip(*(_retrieved(v, probes, number, backbone) for v in (a, b)), strict=True)
    ]
    return RetrievalOverlap(number=number, probes=len(shares), mean=sum(shares) / len(shares), lowest=min(shares))


def _retrieved(version: Version, probes: NDArray[np.uint8], number: int, backbone: str | None) -> list[list[str]]:
    """For each probe, the `pixels_sha256` of the entries that are retrieved."""
    dictionary = Dictionary(version, backbone)
    hashes = _strings(version.table("entries", columns=["pixels_sha256"]), "pixels_sha256")
    return [
        [hashes[entry] for entry in entries]
        for start in range(0, len(probes), _PROBES_AT_A_TIME)
        for entries in dictionary.retrieve_tiles(probes[start : start + _PROBES_AT_A_TIME], number)
    ]


def _strings(table: pa.Table, column: str) -> list[str]:
    strings: list[str] = table[column].to_pylist()
    return strings


def render_text(difference: DictionaryDiff) -> str:
    """A table for a terminal; of every list, the first ten rows and how many more there are."""
    d = difference
    rows = [
        ("dictionary", f"{d.a} → {d.b}"),
        ("entries", f"{d.entries_a} → {d.entries_b}" if d.entries_changed else f"{d.entries_a}: no entry changed"),
    ]
    if d.entries_changed:
        rows += [
            ("  added", str(len(d.added))),
            ("  removed", str(len(d.removed))),
            ("  unchanged", f"{d.unchanged} pictures, {len(d.moved)} of them at another index"),
        ]
    rows.append(("photos", f"{len(d.photos_entered)} entered, {len(d.photos_left)} left"))
    rows += _key_rows(d)
    rows.append(("cluster sizes", _sizes_text(d)))
    rows += [(f"attribute {c.name}", f"{_value(c.before)} → {_value(c.after)}") for c in d.configuration]
    if not d.configuration:
        rows.append(("attributes", "equal"))
    rows.append(("retrieval", _overlap_text(d.overlap)))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:<{width}}  {value}" for label, value in rows]
    return "\n".join([*lines, *_details(d)]) + "\n"


def _key_rows(d: DictionaryDiff) -> list[tuple[str, str]]:
    if d.keys is None:
        return [("key drift", f"not compared: {d.keys_reason}")]
    note = "" if d.keys.same_basis else "; the PCA basis differs, so keys have other axes"
    return [
        ("key drift", f"{len(d.keys.differences)} of {d.keys.entries} keys differ{note}"),
        ("  Euclidean", _spread_text(d.keys.euclidean)),
        ("  1 − cosine", _spread_text(d.keys.cosine_distance)),
    ]


def _sizes_text(d: DictionaryDiff) -> str:
    if d.unchanged == 0:
        return "not compared: no entry is in both dictionaries"
    growth = sum(change.after - change.before for change in d.cluster_sizes)
    return f"changed for {len(d.cluster_sizes)} of {d.unchanged} entries, {growth:+} patches in total"


def _spread_text(spread: Spread) -> str:
    return f"mean {spread.mean:.6g}, median {spread.median:.6g}, max {spread.max:.6g}"


def _overlap_text(overlap: RetrievalOverlap | None) -> str:
    if overlap is None:
        return "not compared: no probes were given"
    return (
        f"overlap@{overlap.number} {overlap.mean:.3f}, lowest {overlap.lowest:.3f}, "
        f"over {overlap.probes} probe{'' if overlap.probes == 1 else 's'}"
    )


def _value(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _details(d: DictionaryDiff) -> list[str]:
    differences = d.keys.differences if d.keys else ()
    by_size = sorted(d.cluster_sizes, key=lambda change: (-abs(change.after - change.before), change.index_a))
    by_distance = sorted(differences, key=lambda difference: (-difference.largest, difference.index_a))
    return [
        *_listed("added", d.added, _entry_text),
        *_listed("removed", d.removed, _entry_text),
        *_listed("moved", d.moved, lambda move: f"{move.index_a} → {move.index_b}"),
        *_listed("photos that entered", d.photos_entered, str),
        *_listed("photos that left", d.photos_left, str),
        *_listed(
            "keys that differ, farthest first",
            by_distance,
            lambda k: f"{_indices(k.index_a, k.index_b)}: floats {k.floats}, by at most {k.largest:.6g}",
        ),
        *_listed(
            "cluster sizes, largest change first",
            by_size,
            lambda c: f"{_indices(c.index_a, c.index_b)}: {c.before} → {c.after} ({c.after - c.before:+})",
        ),
    ]


def _listed(title: str, items: Sequence[_Item], text: Callable[[_Item], str]) -> list[str]:
    if not items:
        return []
    more = len(items) - _ROWS_SHOWN
    lines = ["", title, *(f"  {text(item)}" for item in items[:_ROWS_SHOWN])]
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _entry_text(entry: DiffedEntry) -> str:
    return f"{entry.index}: {entry.image_id} at x={entry.x} y={entry.y}, pixels {entry.pixels_sha256[:16]}"


def _indices(index_a: int, index_b: int) -> str:
    return f"entry {index_a}" if index_a == index_b else f"entry {index_a} → {index_b}"
