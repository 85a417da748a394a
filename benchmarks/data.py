"""Photo packs that are not part of the project: Parquet files in the folder that CLC_DATA names."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from clc.images import open_source

_TRAINING_PACKS = ("train-0", "train-1", "train-2")


def pack(name: str) -> str:
    """The source spec of a pack, e.g. "kodak". Ends the program with the reason if it is not there."""
    folder = os.environ.get("CLC_DATA")
    if not folder:
        sys.exit("this benchmark needs photos: set CLC_DATA to a folder of Parquet photo packs")
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        sys.exit(f"this benchmark needs {path}, which does not exist; set CLC_DATA to the folder that has it")
    return f"parquet:{path}"


def training_photos(size: tuple[int, int]) -> Iterator[Image.Image]:
    """Photos of all training packs, resized to (width, height); again and again, flipped and turned, eight times."""
    for turn in (None, *Image.Transpose):
        for name in _TRAINING_PACKS:
            for photo in open_source(pack(name)).encoded():
                with Image.open(io.BytesIO(photo.data)) as opened:
                    image = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)
                yield image if turn is None else image.transpose(turn).resize(size)
