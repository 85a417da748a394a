"""Photos: where they come from, how they are decoded, and where they are cropped.

`open_source("folder:photos?limit=10")` names photos, `read_photos` decodes them and `fingerprint` identifies them;
`encode` writes decoded pictures.
Sources and data sets are loaded when they are first asked for: a codec reads photos without them.
Downloads are in `clc.images.datasets.fetch`, apart because they alone need httpx, which a training box does not have.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from clc.images.crop import contrast, crop_positions, grid_positions, is_flat
from clc.images.decode import decode, read_image
from clc.images.encode import PictureFormat, encode, format_of
from clc.images.photo import (
    EncodedPhoto,
    Inventory,
    Photo,
    PhotoSource,
    SkippedPhoto,
    fingerprint,
    inventory,
    read_photos,
)

if TYPE_CHECKING:
    from clc.images.datasets.fetched import FetchRecord
    from clc.images.datasets.manifests import DatasetFile, DatasetManifest, dataset_names, datasets_dir, load_manifest
    from clc.images.sources.specification import open_source

__all__ = [
    "DatasetFile",
    "DatasetManifest",
    "EncodedPhoto",
    "FetchRecord",
    "Inventory",
    "Photo",
    "PhotoSource",
    "PictureFormat",
    "SkippedPhoto",
    "contrast",
    "crop_positions",
    "dataset_names",
    "datasets_dir",
    "decode",
    "encode",
    "fingerprint",
    "format_of",
    "grid_positions",
    "inventory",
    "is_flat",
    "load_manifest",
    "open_source",
    "read_image",
    "read_photos",
]

_MANIFESTS = "clc.images.datasets.manifests"
_LATER = {
    "DatasetFile": _MANIFESTS,
    "DatasetManifest": _MANIFESTS,
    "FetchRecord": "clc.images.datasets.fetched",
    "dataset_names": _MANIFESTS,
    "datasets_dir": _MANIFESTS,
    "load_manifest": _MANIFESTS,
    "open_source": "clc.images.sources.specification",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
