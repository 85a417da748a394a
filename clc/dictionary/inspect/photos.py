"""The photos of a dictionary, decoded again from its references."""

from pathlib import Path

from clc.codec.artifacts import read_model
from clc.codec.references.coded import CodedPhotos
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.find import find_references
from clc.errors import MissingArtifactError
from clc.images import PictureFormat, encode
from clc.runtime.files import check_output, make_folder, write_atomically
from clc.store import Kind, Store, Version


def open_photos(dictionary: Version, store: Store, model: Version | None = None) -> CodedPhotos:
    """The whole photos of a dictionary.

    model: whose references to decode; None for those that were made last of all whose model is in the store.
    Raises MissingArtifactError if there are none.
    """
    if model is not None:
        version = find_references(store, dictionary, model)
        if version is not None:
            return CodedPhotos(version, ExactDecoder(read_model(model), model.short_id))
    else:
        for version in reversed(store.versions(Kind.REFERENCES)):
            if version.attributes["dictionary"] == dictionary.id:
                try:
                    own = store.get(Kind.MODEL, version.attributes["model"])
                except MissingArtifactError:
                    continue
                return CodedPhotos(version, ExactDecoder(read_model(own), own.short_id))
    under = "" if model is None else f" under {model}"
    raise MissingArtifactError(
        f"{dictionary} has no references{under} in {store.url}; make them from its photos: "
        f"`clc dictionary references {dictionary.short_id} --source PHOTOS`, or `clc references import FILE`"
    )


def write_photos(
    dictionary: Version, store: Store, folder: Path, *, model: Version | None = None, overwrite: bool = False
) -> list[Path]:
    """Write every photo of a dictionary as PNG into a folder, named as it was; the paths, in the dictionary's order.

    model: as for `open_photos`. overwrite: replace files that are there.
    Raises OutputError for one that is there or cannot be written, before any is, and what `open_photos` raises.
    """
    photos = open_photos(dictionary, store, model)
    names = _file_names(dictionary, photos)
    make_folder(folder)
    paths = [folder / f"{name}.png" for name in names]
    for path in paths:
        check_output(path, overwrite=overwrite)
    for number, path in enumerate(paths):
        pixels = photos.picture(number)
        write_atomically(path, encode(pixels, PictureFormat.PNG, name=str(path)), overwrite=overwrite)
    return paths


def _file_names(dictionary: Version, photos: CodedPhotos) -> list[str]:
    """One for each photo: its image_id without a suffix, what no file name holds replaced, numbered where two agree."""
    table = dictionary.table("entries", columns=["photo_sha256", "image_id"])
    image_ids = dict(zip(table["photo_sha256"].to_pylist(), table["image_id"].to_pylist(), strict=True))
    names: list[str] = []
    for sha256 in photos.photo_sha256:
        plain = "".join(each if each.isalnum() or each in " -_.()" else "_" for each in Path(image_ids[sha256]).stem)
        name, number = plain.strip(". ") or "photo", 1
        while name.casefold() in {each.casefold() for each in names}:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names
