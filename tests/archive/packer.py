"""A process that packs and adds, slowly enough to be killed: `python -m tests.archive.packer`.

For each line `pack|add TAB ALBUM TAB FOLDER` it forks a child for the work, prints its process id, and how it ended.
One process for all, since to import PyTorch takes far longer than the work.
"""

import os
import sys
from pathlib import Path

from clc.archive.creation import add_to_archive, create_archive
from clc.archive.inputs import find_inputs
from tests.archive.samples import LosslessCoder

PAUSE = 0.02


def main() -> None:
    for line in sys.stdin:
        what, album, folder = line.rstrip("\n").split("\t")
        make = create_archive if what == "pack" else add_to_archive
        child = os.fork()
        if child == 0:
            try:
                make(Path(album), find_inputs([folder]), LosslessCoder(pause=PAUSE))
            finally:
                os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
