"""A dictionary's references as an archive, and the other way round: the same streams, byte for byte."""

import hashlib
from pathlib import Path

from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow
from clc.archive.framing import WORK_KEY_BYTES, Label
from clc.archive.writer import ArchiveWriter
from clc.codec.references.artifact import GivenStreams, ReferencesConfig, locate_photos, references
from clc.errors import ArchiveError
from clc.images import PhotoSource
from clc.store import StageResult, Store, Version


def archive_of_references(made: Version, dictionary: Version, photos: PhotoSource, output: Path) -> int:
    """Write a new archive whose members are the photos of a dictionary, as its `references` have them; its bytes.

    Photos that are added to it can refer to them. photos: where the originals are, whose names and hashes the members
    have. Raises DictionaryError for one that is gone, ArchiveError for a name that no member can have, OSError if
    `output` is there or cannot be written.
    """
    where = locate_photos(dictionary, photos)
    files = {each.image_id: each.data for each in photos.encoded() if each.image_id in where.values()}
    settings = bytes.fromhex(made.id)
    with output.open("xb") as file:
        writer = ArchiveWriter(file)
        writer.begin(settings)
        for row in made.table("pictures", columns=["photo_sha256", "stream"]).to_pylist():
            name = where[row["photo_sha256"]]
            sha256 = hashlib.sha256(files[name]).digest()
            work = hashlib.sha256(settings + sha256).digest()[:WORK_KEY_BYTES]
            number = writer.add_stream(row["stream"], Label(work, name))
            writer.add_member(MemberRow(name, number, sha256, len(files[name]), 0, 0))
        writer.close()
        return writer.size


def references_of_archive(
    archive: ArchiveReader,
    dictionary: Version,
    model: Version,
    photos: PhotoSource,
    *,
    config: ReferencesConfig,
    store: Store,
) -> StageResult:
    """Stage `references` with the streams that an archive has of a dictionary's photos, instead of coding them.

    photos: where the originals are. Raises what `references` raises, and ArchiveError for a photo that the archive does
    not have, coded alone by this model.
    """
    alone = {
        member.original_sha256: row
        for member, row in archive.members()
        if not row.parents and model.id.startswith(row.model)
    }
    pixels = {name: sha256 for sha256, name in locate_photos(dictionary, photos).items()}
    streams: dict[str, bytes] = {}
    for photo in photos.encoded():
        if (sha256 := pixels.get(photo.image_id)) is None:
            continue
        row = alone.get(hashlib.sha256(photo.data).digest())
        if row is None:
            raise ArchiveError(
                f"{archive.source.name} does not have {photo.image_id} coded alone by {model}; add it with "
                "`clc add --no-references`"
            )
        streams[sha256] = archive.stream(row, photo.image_id)
    made_of = hashlib.sha256(b"".join(hashlib.sha256(streams[each]).digest() for each in sorted(streams)))
    given = GivenStreams(f"archive/{made_of.hexdigest()}", streams)
    return references(dictionary, model, photos, config=config, store=store, given=given)
