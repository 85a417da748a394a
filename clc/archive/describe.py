"""What `clc info` and `clc list` say of an archive."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from clc.archive.container import ArchiveReader
from clc.archive.framing import FORMAT_VERSION
from clc.codec.bitstream import QUALITY_STEPS

_BILLION = 10**9


def describe_archive(archive: ArchiveReader) -> dict[str, object]:
    """Numbers of the whole. bytes: unused are those of earlier indices and of what interrupted runs left."""
    lengths = archive.index.stream_columns["length"]
    streams = int(lengths.sum())
    index, metadata = archive.footer.index_bytes, archive.index.metadata.length
    total = archive.source.size
    return {
        "format_version": FORMAT_VERSION,
        "photos": archive.index.members,
        "streams": archive.index.streams,
        "models": list(archive.index.models),
        "original_bytes": int(archive.index.member_columns["original_bytes"].sum()),
        "bytes": {
            "total": total,
            "streams": streams,
            "index": index,
            "metadata": metadata,
            "framing_and_unused": total - streams - index - metadata - archive.torn,
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
            "original_bytes": member.original_bytes,
            "modified": _time(member.modified),
            "carried_bytes": len(member.carried),
            "model": row.model,
            "stream": member.stream,
            "refers_to": [names.get(parent, "") for parent in row.parents],
            "sha256": row.sha256.hex(),
            "original_sha256": member.original_sha256.hex(),
        }


def _time(nanoseconds: int) -> str | None:
    if not nanoseconds:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds // _BILLION, UTC).isoformat()
    except (OverflowError, OSError, ValueError):  # a time beyond what calendars have
        return None
