"""`CLC_DATA=… python -m benchmarks.large_archive`: photos a second and memory of `clc pack` for many photos.

Photos of the training packs, each of 1024×768 pixels, are packed by the command, as a process of its own. Hardly any is
related to another, so the plan looks at all pairs for nothing. Memory must not grow with their number: it is measured
for a tenth of them, too. Means something on an idle machine only. 0 if the aims are met, 1 if not.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import psutil

from benchmarks.data import training_photos
from benchmarks.printing import print_machine, print_table

_SIZE = 1024, 768
_PHOTOS_A_SECOND = 0.5
_MEMORY = 3_000_000_000
_INTERVAL = 0.1  # seconds


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_archive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--work", type=Path, help="folder for photos and archives; default: a temporary one")
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        rows = [_packed(Path(folder), number, options.model) for number in (options.photos // 10, options.photos)]
    print_table(("photos", "archive, bytes", "seconds", "photos a second", "peak memory, bytes"), rows)
    _, _, _, pace, _ = rows[-1]
    return int(pace < _PHOTOS_A_SECOND or max(memory for *_, memory in rows) > _MEMORY)


def _packed(root: Path, number: int, model: str) -> tuple[int, int, float, float, int]:
    photos, archive = root / str(number), root / f"{number}.clca"
    photos.mkdir()
    for count, photo in enumerate(islice(training_photos(_SIZE), number)):
        photo.save(photos / f"{count:05}.jpg", quality=95, subsampling=0)
    started = time.perf_counter()
    command = [sys.executable, "-m", "clc", "pack", photos, "-o", archive, "--model", model]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        peak = _peak_memory(process)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    elapsed = time.perf_counter() - started
    return number, archive.stat().st_size, elapsed, number / elapsed, peak


def _peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Bytes that a process and its children have had in memory at once at most, while it ran."""
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(each.memory_info().rss for each in (watched, *watched.children(recursive=True))))
        time.sleep(_INTERVAL)
    return peak


if __name__ == "__main__":
    sys.exit(main())
