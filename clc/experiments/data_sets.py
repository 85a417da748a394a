"""The photos that experiments run on: a general data set, and collections of related photos."""

import os
from dataclasses import dataclass
from pathlib import Path

from clc.errors import SourceError
from clc.images import open_source
from clc.production.profile import PhotoSources

DATA = "CLC_DATA"
"""Environment variable: a folder of Parquet photo packs."""

_SCENES = ("museum", "ams", "pond", "handheld")


@dataclass(frozen=True)
class DataSet:
    """A named set of photos in three roles.

    elsewhere: of a collection, whose references and test photos show the same places and may look alike: the
    reference photos of another one.
    """

    name: str
    sources: PhotoSources
    elsewhere: str | None = None

    @property
    def related(self) -> bool:
        """Whether it is a collection of related photos."""
        return self.elsewhere is not None


def general() -> DataSet:
    """Kodak with the general packs of $CLC_DATA; without it, the bundled photos."""
    folder = _folder()
    if folder is None:
        reference = "bundled?split=reference"
        return DataSet("bundled", PhotoSources(reference=reference, training=reference, test="bundled?split=test"))
    reference, training, test = (_pack(folder, pack) for pack in ("dictionary", "train-0", "kodak"))
    return DataSet("kodak", PhotoSources(reference=reference, training=training, test=test))


def collections() -> list[DataSet]:
    """The collections of $CLC_DATA, one data set a scene; none without it. Codecs train on the general photos."""
    folder = _folder()
    if folder is None:
        return []
    training = general().sources.training
    sites, aerial = _pack(folder, "collection-sites"), _pack(folder, "collection-aerial")
    specs = {f"sites-{scene}": f"{sites}?scene={scene}&split=" for scene in _SCENES}
    specs["aerial"] = f"{aerial}?split="
    others = [*list(specs.values())[1:], next(iter(specs.values()))]
    return [
        DataSet(
            name,
            PhotoSources(reference=f"{spec}reference", training=training, test=f"{spec}test"),
            elsewhere=f"{other}reference",
        )
        for (name, spec), other in zip(specs.items(), others, strict=True)
    ]


def limited(spec: str, photos: int) -> str:
    """The first so many photos of a source.

    >>> limited("bundled?split=test", 1)
    'bundled?split=test&limit=1'
    """
    limited = f"{spec}{'&' if '?' in spec else '?'}limit={photos}"
    open_source(limited)  # a spec that has a limit is refused here, in one line
    return limited


def _folder() -> Path | None:
    folder = os.environ.get(DATA)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise SourceError(f"{DATA}={folder}: there is no such folder; name one with photo packs, or unset {DATA}")
    return Path(folder)


def _pack(folder: Path, name: str) -> str:
    return f"parquet:{folder / name}.parquet"
