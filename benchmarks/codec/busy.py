"""Decoding one small photo from Python while every core is busy: however PyTorch was imported, and on one thread.

Each row is a process of its own; rounds are interleaved. What keeps the cores busy are processes that count. Target:
the median where PyTorch was imported first is at most 1.5 times that of `import clc` first, as commands do.
"""

import argparse
import json
import os
import subprocess
import sys
from statistics import median

from benchmarks.codec import subject
from benchmarks.printing import print_table
from clc.runtime.cores import available_cores

_LIMIT = 1.5
_DECODES = 7
_WAYS = {
    "import clc first": ("import clc", "None"),
    "import torch first": ("import torch; import clc", "None"),
    "threads=1": ("import clc", "1"),
}
_DECODER = """
{first}
import json, sys, time
stream = sys.stdin.buffer.read()
codec = clc.load(sys.argv[2], store=sys.argv[1], threads={threads})
codec.decompress(stream)
seconds = []
for _ in range({decodes}):
    started = time.perf_counter()
    codec.decompress(stream)
    seconds.append(time.perf_counter() - started)
print(json.dumps(seconds))
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --rounds, --busy."""
    subject.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=available_cores(), help="processes that count")


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if the target is missed."""
    opened = subject.open_subject(options)
    options.limit = 1
    (photo,) = subject.open_photos(options)
    stream = opened.codec().compress(photo.pixels[:512, :768], references=False)
    seconds: dict[str, list[float]] = {way: [] for way in _WAYS}
    counting = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        for _ in range(options.rounds):
            for way in _WAYS:
                seconds[way] += _decoded(way, stream, opened)
    finally:
        for process in counting:
            process.kill()
            process.wait()
    usual = median(seconds["import clc first"])
    rows = [[way, median(own), min(own), max(own), median(own) / usual] for way, own in seconds.items()]
    print_table(["", "seconds, median", "least", "most", "times"], rows)
    return int(median(seconds["import torch first"]) > _LIMIT * usual)


def _decoded(way: str, stream: bytes, opened: subject.Subject) -> list[float]:
    first, threads = _WAYS[way]
    program = _DECODER.format(first=first, threads=threads, decodes=_DECODES)
    unset = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", program, opened.store.url, opened.model.id]
    done = subprocess.run(command, input=stream, stdout=subprocess.PIPE, env=environment, check=True)
    seconds: list[float] = json.loads(done.stdout)
    return seconds
