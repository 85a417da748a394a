"""Damaged and hostile streams: each is a picture of the declared size, a BitstreamError or a MissingArtifactError.

Small sound streams are changed at random (benchmarks/codec/mutations.py), and half of the changed ones get a CRC that
fits. Anything else than those outcomes is a violation, and so is a picture from a stream whose CRC was not mended.
--first-seed and --mutants 1 repeat one. Memory is limited while they are decoded; running out of it is a violation.
"""

import argparse
import resource
import time
from collections import Counter
from pathlib import Path

import torch

from benchmarks.codec import subject
from benchmarks.codec.mutations import Outcome, Violation, goldens, judge, mutate, with_photo
from benchmarks.printing import peak_memory, print_table

_SPARE_MEMORY = 2**30  # bytes that decoding may take beyond what the process has at the start


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --mutants and --first-seed."""
    subject.add_options(parser)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """Print a row per operator; 1 if there is a violation."""
    torch.set_num_threads(1)
    options.limit = 1
    photo = subject.open_photos(options)[0].pixels
    codec = with_photo(subject.open_subject(options).codec(), photo)
    sound = goldens(codec, photo)
    peak_before = peak_memory() // 10**6
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + _SPARE_MEMORY, limits[1]))
    outcomes: Counter[tuple[str, bool, str]] = Counter()
    slowest = (0.0, -1)
    for seed in range(options.first_seed, options.first_seed + options.mutants):
        mutant = mutate(sound, seed)
        start = time.perf_counter()
        try:
            outcome = str(judge(codec, mutant, sound))
        except Violation as violation:
            print(f"VIOLATION: {violation}", flush=True)
            outcome = "violation"
        slowest = max(slowest, (time.perf_counter() - start, seed))
        outcomes[mutant.operator, mutant.mended, outcome] += 1
    resource.setrlimit(resource.RLIMIT_AS, limits)
    columns = [*Outcome, "violation"]
    print(f"\n{options.mutants} mutants of {len(sound)} streams, seeds from {options.first_seed}\n")
    print_table(
        ["operator", "CRC mended", *columns],
        [
            [operator, "yes" if mended else "no", *(outcomes[operator, mended, outcome] for outcome in columns)]
            for operator, mended in sorted({key[:2] for key in outcomes})
        ],
    )
    print(f"peak memory {peak_before} MB before, {peak_memory() // 10**6} MB after; ", end="")
    print(f"slowest mutant {slowest[0]:.2f} s (seed {slowest[1]})")
    return 1 if any(outcome == "violation" for _, _, outcome in outcomes) else 0


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
