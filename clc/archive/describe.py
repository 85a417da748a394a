"""What `clc info` and `clc list` say of an archive."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from clc.archive.container import ArchiveReader
from clc.archive.contents import Form
from clc.archive.framing import HEADER_BYTES
from clc.model.limits import QUALITY_STEPS

_BILLION = 10**9


def describe_archive(archive: ArchiveReader) -> dict[str, object]:
    """Numbers of the whole. bytes: where they are: streams, sections of the index, and these.

    heads: of records, which have names; with them, what earlier indices and interrupted runs left.
    """
    index = archive.index
    streams = int(index.of_streams["length"].sum())
    total = archive.source.size - archive.torn
    fixed = HEADER_BYTES + archive.footer.end - archive.footer.at
    kept = {row.extent for member, _ in archive.members() if (row := member.original)}
    originals = sum(extent.length for extent in kept)
    heads = total - streams - originals - fixed - sum(index.parts.values())
    return {
        "format_version": archive.footer.version,
        "photos": index.members,
        "streams": index.streams,
        "models": list(index.models),
        "original_bytes": int(index.of_members["original_bytes"].sum()),
        "bytes": {
            "total": archive.source.size,
            "streams": streams,
            "kept_originals": originals,
            "header_and_footer": fixed,
            "heads": heads,
            **index.parts,
            "behind_the_end": archive.torn,
        },
    }


def describe_members(archive: ArchiveReader) -> Iterator[dict[str, Any]]:
    """One record for each member, in order. refers_to: names of the key photos that it refers to."""
    names: dict[int, str] = {}
    for member, _ in archive.members():
        names.setdefault(member.stream, member.name)
    for member, row in archive.members():
        yield {
            "name": member.name,
            "width": row.width,
            "height": row.height,
            "quality": row.quality / QUALITY_STEPS,
            "bytes": row.extent.length,
            "lossless": None if row.form is Form.UNKNOWN else row.form is Form.LOSSLESS,
            "original_bytes": member.original_bytes,
            "original_kept_bytes": member.original.extent.length if member.original else None,
            "modified": _time(member.modified),
            "carried_bytes": len(member.carried),
            "model": row.model,
            "stream": member.stream,
            "refers_to": [names.get(parent, "") for parent in row.parents],
            "sha256": row.digest.hex(),
            "original_sha256": member.original_sha256.hex(),
        }


def _time(nanoseconds: int) -> str | None:
    if not nanoseconds:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds // _BILLION, UTC).isoformat()
    except (OverflowError, OSError, ValueError):  # a time beyond what calendars have
        return None
