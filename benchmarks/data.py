"""Photo packs that are not part of the project: Parquet files in the folder that CLC_DATA names."""

import os
import sys
from pathlib import Path


def pack(name: str) -> str:
    """The source spec of a pack, e.g. "kodak". Ends the program with the reason if it is not there."""
    folder = os.environ.get("CLC_DATA")
    if not folder:
        sys.exit("this benchmark needs photos: set CLC_DATA to a folder of Parquet photo packs")
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        sys.exit(f"this benchmark needs {path}, which does not exist; set CLC_DATA to the folder that has it")
    return f"parquet:{path}"
