"""Kill `clc pack` and `clc add` at random moments, run them again: is every photo there in the end, byte for byte?

A trial is one archive in the making, killed (SIGKILL) several times on its way, at moments drawn over the whole life of
an undisturbed run, and then let through. After each kill of `add`, the archive must be readable and hold what it held.
Ends with 1 unless every trial ends with the streams of the undisturbed run.

`python -m benchmarks.archive_kills --kills 50`
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.printing import print_machine, print_table
from clc.archive.soundness import verify_archive
from clc.archive.writer import open_archive

_PHOTOS, _SIDE = 24, 192
_KILLS_A_TRIAL = 5


def main() -> int:
    """Print a row for each trial; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_machine()
    chance = random.Random(options.seed)
    rows, lost = [], 0
    with TemporaryDirectory() as root:
        old, new = (
            _photos(Path(root, name), range(start, start + _PHOTOS)) for start, name in ((0, "old"), (99, "new"))
        )
        undisturbed = {}
        for what in ("pack", "add"):
            album = Path(root, f"{what}.clca")
            _begin(what, album, old)
            start = time.monotonic()
            subprocess.run(_command(what, album, new), check=True, capture_output=True)
            undisturbed[what] = (time.monotonic() - start, _streams(album))
        left = options.kills
        while left > 0:
            what = ("pack", "add")[len(rows) % 2]
            seconds, expected = undisturbed[what]
            album = Path(root, f"trial-{len(rows)}.clca")
            _begin(what, album, old)
            kills, problems = 0, 0
            for _ in range(min(left, _KILLS_A_TRIAL)):
                kills += _killed(_command(what, album, new), chance.uniform(0, seconds))
                if what == "add":
                    archive = open_archive(album)
                    problems += sum(bool(problem) for _, problem in verify_archive(archive))
                    problems += len(archive.names) not in (_PHOTOS, 2 * _PHOTOS)
            left -= max(kills, 1)  # a run that goes on is shorter, and may end before its moment
            finished = subprocess.run(_command(what, album, new), check=False, capture_output=True, text=True)
            same = album.exists() and _streams(album) == expected
            lost += not same or problems > 0
            rows.append([len(rows) + 1, what, kills, problems, finished.returncode, "yes" if same else "no"])
            print(rows[-1], flush=True)
    print_table(["trial", "command", "killed", "problems meanwhile", "last exit code", "same streams"], rows)
    return int(lost > 0)


def _photos(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        waves = np.random.default_rng(seed).uniform(0, 255, (_SIDE // 16, _SIDE // 16, 3)).astype(np.uint8)
        Image.fromarray(waves).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def _begin(what: str, album: Path, old: Path) -> None:
    if what == "add":
        subprocess.run(_command("pack", album, old), check=True, capture_output=True)


def _command(what: str, album: Path, photos: Path) -> list[str]:
    arguments = ["pack", str(photos), "-o", str(album)] if what == "pack" else ["add", str(album), str(photos)]
    return [sys.executable, "-m", "clc", *arguments, "--quality", "40"]


def _killed(command: list[str], after: float) -> bool:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(after)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def _streams(album: Path) -> dict[str, bytes]:
    archive = open_archive(album)
    return {name: archive.streams(name)[0] for name in archive.names}


if __name__ == "__main__":
    sys.exit(main())
