"""The explorer: one HTML page that shows a dictionary's entries, their clusters and what photos retrieve.

The page carries its pictures and loads nothing. Its script sorts and filters the entries, in pages and on the map;
without it, the page shows all of them in the order of their indices.
"""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from clc.dictionary.dictionary import Dictionary
from clc.dictionary.inspect.photos import open_photos
from clc.dictionary.stages.features import vectors_of
from clc.errors import DictionaryError, MissingArtifactError
from clc.images.patch import decode_patch
from clc.model.tiles import TILE_SIZE, image_tiles
from clc.runtime.files import write_page
from clc.store import Kind, Store, Version, lineage
from clc.store.shipped import LayeredStore

ENTRY_PIXELS = 80
"""Pixels along each side of an entry's picture on the page; 3,000 photographic entries make a page of about 7 MB."""

MEMBER_PIXELS = 40
MEMBERS_SHOWN = 6
CLUSTERS_WITH_MEMBERS = 200
"""Members are shown for this many of the largest clusters, for pictures of all would make the page too heavy."""

ENTRIES_A_PAGE = 200
"""Of the entries that the filters leave, so many are shown at a time."""

TILES_SHOWN = 48
"""A query photo shows at most this many of its tiles, evenly spread over it."""

_PICTURE_QUALITY = 70
_LEGEND = 16
_GOLDEN_ANGLE = 137.508  # degrees: however many photos there are, neighbours in the legend have far apart hues
_SHADES = (0, 14, -14)
_HUES_A_SHADE = 5  # more of them, a golden angle apart, look alike
_MAP_WIDTH, _MAP_FLATTEST, _MAP_TALLEST, _MAP_MARGIN = 960, 240, 640, 24
_SMALLEST_RADIUS, _LARGEST_RADIUS = 4.0, 14.0
_TILES_AT_A_TIME = 32


@dataclass(frozen=True)
class SourcePhoto:
    """A photo that entries were cut from, and its colour on the page.

    hue: degrees. shade: percent added to the lightness that the page has in light and in dark.
    """

    image_id: str
    hue: float
    shade: int
    entries: int


@dataclass(frozen=True)
class ShownEntry:
    """An entry with its pictures as data URIs; `members` is None where the page shows none."""

    index: int
    photo: SourcePhoto
    x: int
    y: int
    size: int
    radius: float
    picture: str
    members: tuple[str, ...] | None


@dataclass(frozen=True)
class MapPoint:
    """An entry in the coordinates of the map."""

    entry: ShownEntry
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class KeyMap:
    """The keys on their first two principal components, both to one scale; `shares` of variance, 0 to 1."""

    width: int
    height: int
    shares: tuple[float, float]
    points: tuple[MapPoint, ...]


@dataclass(frozen=True)
class ShownTile:
    """One tile of a query photo and the (entry, Euclidean distance) pairs that it retrieves, nearest first."""

    row: int
    column: int
    picture: str
    found: tuple[tuple[ShownEntry, float], ...]


@dataclass(frozen=True)
class QueriedPhoto:
    """A query photo; `tiles` counts all of them, `shown` may be fewer."""

    name: str
    width: int
    height: int
    tiles: int
    shown: tuple[ShownTile, ...]


def member_versions(version: Version, store: Store) -> tuple[Version | None, Version | None]:
    """The clusters and the patches that a dictionary was made from; None for what is not in the store.

    Raises CorruptArtifactError if a manifest is damaged.
    """

    def source(kind: Kind) -> Version | None:
        ref = version.manifest.recipe.inputs.get(kind.value)
        try:
            return store.get(kind, ref) if ref is not None else None
        except MissingArtifactError:  # pruned or never imported: the page then says that it has no members
            return None

    return source(Kind.CLUSTERS), source(Kind.PATCHES)


def render_explorer(
    version: Version,
    clusters: Version | None,
    patches: Version | None,
    queries: Sequence[tuple[str, NDArray[np.uint8]]],
    number: int = 3,
    *,
    backbone: str | None = None,
) -> str:
    """The page of a dictionary as HTML. The same arguments give the same page, byte for byte.

    clusters, patches: what the dictionary was made from (`member_versions`); without either, no members are shown.
    queries: names and photos uint8 [H, W, 3], for whose tiles `number` entries are retrieved. backbone: as for
    `Dictionary`, which is opened only if there are queries.
    Raises DictionaryError if a version is of another kind, if clusters or patches are not those of the dictionary,
    or if it cannot be searched; CorruptArtifactError if a stored picture cannot be decoded.
    """
    if version.kind is not Kind.DICTIONARY:
        raise DictionaryError(f"{version} is not a dictionary; `clc dictionary list` shows what is there")
    table = version.table("entries", columns=["image_id", "x", "y", "pixels_sha256", "cluster_size", "cluster_radius"])
    members = None
    if clusters is not None and patches is not None:
        _refuse_foreign(version, table, clusters, patches)
        members = _members(table, clusters, patches)
    entries = _entries(version, table, members)
    sizes = [entry.size for entry in entries]
    photos = {entry.photo.image_id: entry.photo for entry in entries}.values()
    script = _resource("explore.js")
    return _template().render(
        version=version,
        entries=entries,
        photos=sorted(photos, key=lambda photo: photo.image_id),
        legend=sorted(photos, key=lambda photo: (-photo.entries, photo.image_id))[:_LEGEND],
        patches=sum(sizes),
        sizes={"smallest": min(sizes), "median": float(np.median(sizes)), "largest": max(sizes)},
        singletons=sizes.count(1),
        # A version that several stages read has one role in all of them.
        lineage=dict.fromkeys((role, source[: source.index("/") + 17]) for _, role, source in lineage(version).edges()),
        map=_key_map(version, entries),
        members_known=members is not None,
        members_shown=MEMBERS_SHOWN,
        clusters_with_members=CLUSTERS_WITH_MEMBERS,
        queries=_queries(version, entries, queries, number, backbone) if queries else [],
        tile_size=TILE_SIZE,
        entry_pixels=ENTRY_PIXELS,
        member_pixels=MEMBER_PIXELS,
        page=ENTRIES_A_PAGE,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def write_explorer(
    version: Version,
    clusters: Version | None,
    patches: Version | None,
    queries: Sequence[tuple[str, NDArray[np.uint8]]],
    number: int = 3,
    *,
    path: Path,
    backbone: str | None = None,
    overwrite: bool = True,
) -> None:
    """Write `render_explorer` to a file, whole or not at all.

    overwrite: replace a file that is there.
    Raises OutputError if the file cannot be written.
    """
    page = render_explorer(version, clusters, patches, queries, number, backbone=backbone)
    write_page(path, page, overwrite=overwrite)


def _refuse_foreign(version: Version, table: pa.Table, clusters: Version, patches: Version) -> None:
    """By content, not by recipe: a dictionary that several recipes gave names the inputs of the first alone."""
    if (clusters.kind, patches.kind) != (Kind.CLUSTERS, Kind.PATCHES):
        raise DictionaryError(f"{clusters} and {patches} are not clusters and patches; give {version} its own")
    representatives = clusters.table("clusters", columns=["representative"])["representative"].to_numpy()
    pictures = patches.table("patches", columns=["pixels_sha256"])["pixels_sha256"]
    if clusters.rows("members") != len(pictures) or (
        pictures.take(pa.array(representatives)).to_pylist() != table["pixels_sha256"].to_pylist()
    ):
        raise DictionaryError(f"{version} was not made from {clusters} and {patches}; `clc dictionary show` names both")


def _members(table: pa.Table, clusters: Version, patches: Version) -> dict[int, tuple[str, ...]]:
    """Entry → pictures of its members without the representative, for the largest clusters.

    Where a cluster has more members than are shown, they are evenly spread from the nearest to the centroid to the
    farthest: the nearest alone would make every cluster look tight.
    """
    sizes = table["cluster_size"].to_numpy()
    largest = np.lexsort((np.arange(len(sizes)), -sizes))[:CLUSTERS_WITH_MEMBERS]
    member_table = clusters.table("members")
    owners = member_table["entry"].to_numpy()
    representatives = clusters.table("clusters", columns=["representative"])["representative"].to_numpy()
    order = np.lexsort((np.arange(len(owners)), member_table["distance"].to_numpy(), owners))
    bounds = np.searchsorted(owners[order], np.arange(len(sizes) + 1))
    chosen: dict[int, list[int]] = {}
    for entry in largest.tolist():
        rows = order[bounds[entry] : bounds[entry + 1]]
        others = rows[rows != representatives[entry]]
        ranks = np.linspace(0, len(others) - 1, min(MEMBERS_SHOWN, len(others))).round().astype(int)
        chosen[entry] = others[ranks].tolist()
    pictures = _pictures(patches, "patches", {row for rows in chosen.values() for row in rows}, MEMBER_PIXELS)
    return {entry: tuple(pictures[row] for row in rows) for entry, rows in chosen.items()}


def _pictures(version: Version, table: str, rows: set[int], pixels: int) -> dict[int, str]:
    """Row → its picture as a data URI. One batch of pictures is in memory at a time."""
    found: dict[int, str] = {}
    start = 0
    for batch in version.batches(table, columns=["image"]):
        for row in sorted(rows.intersection(range(start, start + len(batch)))):
            found[row] = _data_uri(decode_patch(batch.column("image")[row - start].as_py()), pixels)
        start += len(batch)
    return found


def _entry_pictures(version: Version, number: int) -> dict[int, str]:
    """Of all entries: their patches, or, where the version is here without them, what its references show."""
    first = next(version.batches("entries", columns=["image"], batch_rows=1))
    if first.column("image").null_count == 0:
        return _pictures(version, "entries", set(range(number)), ENTRY_PIXELS)
    photos = open_photos(version, LayeredStore(version.storage.display()))
    return {entry: _data_uri(photos.patch(entry), ENTRY_PIXELS) for entry in range(number)}


def _data_uri(patch: NDArray[np.uint8], pixels: int) -> str:
    """A square picture uint8 [S, S, 3], scaled to `pixels` along each side."""
    buffer = io.BytesIO()
    small = Image.fromarray(patch).resize((pixels, pixels), Image.Resampling.LANCZOS, reducing_gap=3.0)
    small.save(buffer, "WEBP", quality=_PICTURE_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _entries(version: Version, table: pa.Table, members: dict[int, tuple[str, ...]] | None) -> list[ShownEntry]:
    rows = table.to_pylist()
    counts = Counter(row["image_id"] for row in rows)
    photos = {
        image_id: SourcePhoto(
            image_id,
            hue=round(rank * _GOLDEN_ANGLE % 360, 1),
            shade=_SHADES[rank // _HUES_A_SHADE % len(_SHADES)],
            entries=count,
        )
        for rank, (image_id, count) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    }
    pictures = _entry_pictures(version, len(rows))
    return [
        ShownEntry(
            index=index,
            photo=photos[row["image_id"]],
            x=row["x"],
            y=row["y"],
            size=row["cluster_size"],
            radius=row["cluster_radius"],
            picture=pictures[index],
            members=(members or {}).get(index),
        )
        for index, row in enumerate(rows)
    ]


def _key_map(version: Version, entries: Sequence[ShownEntry]) -> KeyMap:
    """Large clusters come first, so that small ones lie on top of them."""
    positions, shares = principal_plane(vectors_of(version.table("entries", columns=["key"])["key"]))
    middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
    extent = np.ptp(positions, axis=0)
    room = np.array([_MAP_WIDTH - 2 * _MAP_MARGIN, _MAP_TALLEST - 2 * _MAP_MARGIN])
    # One key, or keys that are all equal, lie in the middle.
    scale = float((room / np.maximum(extent, extent.max() * 1e-9)).min()) if extent.any() else 0.0
    height = max(_MAP_FLATTEST, round(float(extent[1]) * scale) + 2 * _MAP_MARGIN)
    placed = np.array([_MAP_WIDTH, height]) / 2 + (positions - middle) * scale * np.array([1, -1])
    largest = max(entry.size for entry in entries)
    points = [
        MapPoint(
            entry,
            round(float(x), 1),
            round(float(y), 1),
            # The area shows the size.
            round(max(_SMALLEST_RADIUS, _LARGEST_RADIUS * (entry.size / largest) ** 0.5), 1),
        )
        for entry, (x, y) in zip(entries, placed, strict=True)
    ]
    points.sort(key=lambda point: (-point.entry.size, point.entry.index))
    return KeyMap(_MAP_WIDTH, height, shares, tuple(points))


def principal_plane(keys: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates float64 [K, 2] of keys [K, dim] on their first two principal components, and the shares of variance.

    A component that the keys do not have is 0. The largest part of a component is positive, for an SVD leaves its
    sign open.
    """
    centred = keys.astype(np.float64) - keys.mean(axis=0, dtype=np.float64)
    with threadpool_limits(1):  # another order of sums would move points by an ulp, and the page is reproducible
        _, singular, components = np.linalg.svd(centred, full_matrices=False)
        positions = np.zeros((len(keys), 2))
        for axis, component in enumerate(components[:2]):
            positions[:, axis] = centred @ component * np.sign(component[np.abs(component).argmax()])
    variance = np.square(np.append(singular, [0.0, 0.0]))
    first, second = variance[:2] / (variance.sum() or 1.0)
    return positions, (float(first), float(second))


def _queries(
    version: Version,
    entries: Sequence[ShownEntry],
    queries: Sequence[tuple[str, NDArray[np.uint8]]],
    number: int,
    backbone: str | None,
) -> list[QueriedPhoto]:
    dictionary = Dictionary(version, backbone)
    return [_query(dictionary, entries, name, photo, number) for name, photo in queries]


def _query(
    dictionary: Dictionary, entries: Sequence[ShownEntry], name: str, photo: NDArray[np.uint8], number: int
) -> QueriedPhoto:
    height, width = photo.shape[:2]
    tiles = image_tiles(photo)
    columns = -(-width // TILE_SIZE)
    chosen = np.linspace(0, len(tiles) - 1, min(TILES_SHOWN, len(tiles))).round().astype(int)
    shown = []
    for start in range(0, len(chosen), _TILES_AT_A_TIME):
        part = chosen[start : start + _TILES_AT_A_TIME]
        found, distances = dictionary.search(dictionary.keys_of(tiles[part]), number)
        for tile, nearest, how_far in zip(part.tolist(), found.tolist(), distances.tolist(), strict=True):
            row, column = divmod(tile, columns)
            results = tuple((entries[entry], distance) for entry, distance in zip(nearest, how_far, strict=True))
            shown.append(ShownTile(row, column, _data_uri(tiles[tile], ENTRY_PIXELS), results))
    return QueriedPhoto(name, width, height, len(tiles), tuple(shown))


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"value": _value}
    return environment.from_string(_resource("explore.html.j2"))


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _value(value: object) -> str:
    """An attribute or a statistic as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
