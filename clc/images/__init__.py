"""Photos: where they come from, how they are decoded, and where they are cropped.

`open_source("folder:photos?limit=10")` names photos, `read_photos` decodes them, `fingerprint` identifies them, and
`fetch_dataset` brings public datasets to disk.
"""

from clc.images.crop import Crop, contrast, crop_positions, grid_positions, is_flat
from clc.images.dataset import DatasetFile, DatasetManifest, dataset_names, datasets_dir, load_manifest
from clc.images.decode import decode, read_image, write_png
from clc.images.extract import extract_archive
from clc.images.fetch import download, fetch_dataset
from clc.images.fetched import FetchRecord
from clc.images.photo import (
    EncodedPhoto,
    Photo,
    PhotoSource,
    SkippedPhoto,
    fingerprint,
    read_photos,
)
from clc.images.source import open_source

__all__ = [
    "Crop",
    "DatasetFile",
    "DatasetManifest",
    "EncodedPhoto",
    "FetchRecord",
    "Photo",
    "PhotoSource",
    "SkippedPhoto",
    "contrast",
    "crop_positions",
    "dataset_names",
    "datasets_dir",
    "decode",
    "download",
    "extract_archive",
    "fetch_dataset",
    "fingerprint",
    "grid_positions",
    "is_flat",
    "load_manifest",
    "open_source",
    "read_image",
    "read_photos",
    "write_png",
]
