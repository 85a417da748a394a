"""A process that packs, or adds, slowly enough to be killed: `python -m tests.archive.packer pack|add ALBUM FOLDER`."""

import sys
from pathlib import Path

from clc.archive.build import add_to_archive, create_archive
from clc.archive.inputs import find_inputs
from tests.archive.samples import LosslessCoder

PAUSE = 0.02


def main() -> None:
    what, album, folder = sys.argv[1:]
    print("ready", flush=True)
    make = create_archive if what == "pack" else add_to_archive
    make(Path(album), find_inputs([folder]), LosslessCoder(pause=PAUSE))


if __name__ == "__main__":
    main()
