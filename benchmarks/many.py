"""`CLC_DATA=… python -m benchmarks.many`: many photos through one command, the first byte of one, and the imports.

- `clc compress` of a folder, as a process of its own, its start included, beside calls of the codec for the same photos
  one after the other, in a process whose PyTorch has one thread; and `clc decompress` of the folder likewise. The
  streams of both ways must be the same. At least 1.7 times as fast on two cores is the aim.
- Seconds from the start of `clc compress` of one small photo to the first byte on its standard output (at most 2.5),
  and of `import clc.api` in a new process (at most 1.5): the least of several.

All of this means something on an idle machine only. 0 if the aims are met, 1 if not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from PIL import Image

from benchmarks.data import training_photos
from benchmarks.printing import print_machine, print_table

_FASTER, _FIRST_BYTE, _IMPORTS = 1.7, 2.5, 1.5
_SIZE = 760, 526  # 0.4 megapixels
_SUFFIX = ".clc"
_ONE_BY_ONE = """
import sys, time, torch, clc
from pathlib import Path
torch.set_num_threads(1)
source, target, back = map(Path, sys.argv[1:])
codec = clc.load()
codec.decompress(codec.compress(sorted(source.iterdir())[0], references=False))
times = [time.perf_counter()]
for photo in sorted(source.iterdir()):
    codec.compress_file(photo, target / (photo.stem + ".clc"), references=False)
times.append(time.perf_counter())
for stream in sorted(target.iterdir()):
    codec.decompress_file(stream, back / (stream.stem + ".png"))
times.append(time.perf_counter())
print(times[1] - times[0], times[2] - times[1])
"""


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5, help="of what is measured in seconds")
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("photos", "alone", "alone-back"):
            (root / name).mkdir()
        for number, photo in enumerate(islice(training_photos(_SIZE), options.photos)):
            photo.save(root / "photos" / f"{number:04}.png")
        faster = _many(root)
        first = min(_first_byte(root / "photos" / "0000.png") for _ in range(options.rounds))
        imports = min(_imports() for _ in range(options.rounds))
    rows = [["first byte of one photo", f"{first:.2f} s", f"{_FIRST_BYTE} s"]]
    rows.append(["import clc.api", f"{imports:.2f} s", f"{_IMPORTS} s"])
    print_table(["", "least", "at most"], rows)
    return int(faster < _FASTER or first > _FIRST_BYTE or imports > _IMPORTS)


def _many(root: Path) -> float:
    """Print the table; how many times faster the command compresses."""
    arguments = [str(root / name) for name in ("photos", "alone", "alone-back")]
    ran = subprocess.run([sys.executable, "-c", _ONE_BY_ONE, *arguments], capture_output=True, text=True, check=True)
    alone = [float(each) for each in ran.stdout.split()]
    compress = ("compress", root / "photos", "-O", root / "many", "--no-references", "--quiet")
    decompress = ("decompress", root / "many", "-O", root / "many-back", "--quiet")
    many = [_seconds(sys.executable, "-m", "clc", *map(str, each)) for each in (compress, decompress)]
    assert _content(root / "alone") == _content(root / "many"), "the streams differ"
    photos = len(os.listdir(root / "photos"))
    heading = ["", "photos", "one by one, s", "one command, s", "times as fast"]
    pairs = zip(("compress", "decompress"), alone, many, strict=True)
    print_table(heading, [[name, photos, one, all, one / all] for name, one, all in pairs])
    return alone[0] / many[0]


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(f"*{_SUFFIX}")}


def _seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def _imports() -> float:
    timed = "import time; started = time.perf_counter(); import clc.api; print(time.perf_counter() - started)"
    return float(subprocess.check_output([sys.executable, "-c", timed]))


def _first_byte(photo: Path) -> float:
    with tempfile.TemporaryDirectory() as folder, Image.open(photo) as image:
        small = Path(folder) / "small.png"
        image.resize((96, 64)).save(small)
        command = [sys.executable, "-m", "clc", "compress", str(small), "-", "--no-references"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.read(1), "nothing was printed"
            elapsed = time.perf_counter() - started
            process.stdout.read()
    return elapsed


if __name__ == "__main__":
    sys.exit(main())
