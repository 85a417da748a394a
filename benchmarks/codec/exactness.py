"""Photos encoded under one configuration and decoded under others: all must get the encoder's latent, bit by bit.

Each configuration has processes of its own, with its threads, instruction sets, libraries and device. It decodes the
streams that the first configuration wrote, and the first decodes streams that it wrote. A mismatch is a stream that its
decoder refuses: the CRC-32 that it carries is that of the encoder's latent. The codec decodes image by image, so beside
the order, photos alone and four decoders at once, what can be computed for several photos together is the prior path
and the exact synthesis: they are run over batches of up to four streams of one size, without references. Ordinary
pixels come from floating point, and their last digit may differ: the largest difference, of 255 levels, is printed.
Pictures that the exact synthesis makes of streams without references must be those of the first configuration. Without
a GPU, its rows are left out.
"""

import argparse
import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.codec import subject
from benchmarks.codec.exactness_process import Action, Job, Settings
from benchmarks.data import pack
from benchmarks.printing import print_table
from clc.codec.bitstream import Bitstream
from clc.errors import ClcError
from clc.images import open_source


@dataclass(frozen=True)
class _Configuration:
    name: str
    settings: Settings = field(default_factory=Settings)
    action: Action = Action.DECODE
    reverse: bool = False  # photos in reverse order
    alone: bool = False  # a process for each photo

    @property
    def encodes(self) -> bool:
        """Whether encoding is another computation than in the first configuration."""
        return self.settings != Settings()


_OLDEST = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
_FIRST = _Configuration("the encoder's: 1 thread, best instruction set, oneDNN")
_OTHERS = (
    _Configuration("2 threads", Settings(threads=2)),
    _Configuration("ATen avx2", Settings(variables={"ATEN_CPU_CAPABILITY": "avx2"})),
    _Configuration("ATen default", Settings(variables={"ATEN_CPU_CAPABILITY": "default"})),
    _Configuration("ATen default, MKL and oneDNN at SSE 4", Settings(variables=_OLDEST)),
    _Configuration("oneDNN off", Settings(onednn=False)),
    _Configuration("2 threads, oneDNN off, all at SSE 4", Settings(threads=2, onednn=False, variables=_OLDEST)),
    _Configuration("last photo first", reverse=True),
    _Configuration("each photo alone", alone=True),
    _Configuration("four decoders at once", action=Action.DECODE_AT_ONCE),
    _Configuration("prior path in batches of four", action=Action.DECODE_IN_BATCHES),
    _Configuration("the same, 2 threads", Settings(threads=2), Action.DECODE_IN_BATCHES),
)
_GPU = (
    _Configuration("GPU", Settings(device="cuda")),
    _Configuration("GPU, prior path in batches of four", Settings(device="cuda"), Action.DECODE_IN_BATCHES),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --decoders and --pictures."""
    subject.add_options(parser)
    parser.add_argument("--decoders", default="", help="only configurations whose names have this in them")
    parser.add_argument("--pictures", action="store_true", help="only streams without references, decoded exactly")


def run(options: argparse.Namespace) -> int:
    """Print a row per configuration, for streams with references and for exact pictures; 1 if anything differs."""
    versions = subject.open_subject(options)
    source = options.source or pack("kodak")
    count = sum(1 for _ in itertools.islice(open_source(source).encoded(), options.limit))
    gpu = torch.cuda.is_available()
    print(f"{count} photos; best instruction set {torch.backends.cpu.get_cpu_capability()}; GPU: {gpu}")
    others = [each for each in (*_OTHERS, *(_GPU if gpu else ())) if options.decoders in each.name]
    with tempfile.TemporaryDirectory() as folder:
        runner = _Runner(versions, source, count, Path(folder))
        total = _compare_pictures(runner, others)
        if not options.pictures:
            total += _compare_latents(runner, others)
    return 1 if total else 0


def _compare_latents(runner: "_Runner", others: list[_Configuration]) -> int:
    """Refused streams."""
    streams = runner.encode(_FIRST.settings, references=True)
    aligned = sum(Bitstream.from_bytes(path.read_bytes()).header.is_aligned for path in streams)
    print(f"{aligned} of {len(streams)} with aligned references\n")
    rows = []
    total = 0
    for configuration in (_FIRST, *others):
        if configuration.action is Action.DECODE_IN_BATCHES:
            continue
        refused, difference = runner.decode(configuration, streams)
        back: list[str] | None = None
        if configuration.encodes:
            back, _ = runner.decode(_FIRST, runner.encode(configuration.settings, references=True))
        total += len(refused) + len(back or ())
        rows.append([configuration.name, len(streams), len(refused), "" if back is None else len(back), difference])
    print_table(["decoder", "photos", "mismatches", "mismatches, encoded there", "largest pixel difference"], rows)
    return total


def _compare_pictures(runner: "_Runner", others: list[_Configuration]) -> int:
    """Refused streams, and pictures that are not the first configuration's."""
    streams = runner.encode(_FIRST.settings, references=False)
    refused, expected = runner.picture_digests(_FIRST, streams)
    rows: list[list[object]] = [[_FIRST.name, len(streams), len(refused), 0]]
    total = len(refused)
    for configuration in others:
        if configuration.action is Action.DECODE_AT_ONCE:
            continue
        refused, pictures = runner.picture_digests(configuration, streams)
        differing = sum(pictures.get(name) != digest for name, digest in expected.items())
        rows.append([configuration.name, len(streams), len(refused), differing])
        total += len(refused) + differing
    print_table(["decoder", "photos without references", "mismatches", "other exact pictures"], rows)
    return total


class _Runner:
    """Starts processes and compares the pixels that they decode with the first ones."""

    def __init__(self, versions: subject.Subject, source: str, count: int, folder: Path) -> None:
        self._versions = versions
        self._source = source
        self._count = count
        self._folder = folder
        self._first: Path | None = None
        self._number = itertools.count()

    def encode(self, settings: Settings, references: bool) -> list[Path]:
        """The streams that a process with these settings writes."""
        folder = self._new_folder()
        streams = [folder / f"{number:05d}.clc" for number in range(self._count)]
        self._run(settings, Action.ENCODE, streams, source=self._source, references=references)
        return streams

    def decode(self, configuration: _Configuration, streams: list[Path]) -> tuple[list[str], int | str]:
        """Refused streams, with reasons, and the largest difference of the others' pixels from the first call's."""
        refused, pixels = self._decode(configuration, configuration.action, streams)
        self._first = self._first or pixels
        differences = [
            int(np.abs(np.load(path).astype(int) - np.load(self._first / path.name)).max())
            for path in pixels.glob("*.npy")
        ]
        return refused, max(differences, default="")

    def picture_digests(self, configuration: _Configuration, streams: list[Path]) -> tuple[list[str], dict[str, str]]:
        """Refused streams without references, with reasons, and of the others' exact pictures the SHA-256, by name."""
        batches = configuration.action is Action.DECODE_IN_BATCHES
        action = Action.DECODE_IN_BATCHES if batches else Action.DECODE_EXACTLY
        refused, pixels = self._decode(configuration, action, streams)
        return refused, {
            path.name: hashlib.sha256(np.load(path).tobytes()).hexdigest() for path in pixels.glob("*.npy")
        }

    def _decode(self, configuration: _Configuration, action: Action, streams: list[Path]) -> tuple[list[str], Path]:
        """Refused streams, with reasons, and the folder of the others' pixels."""
        pixels = self._new_folder()
        ordered = streams[::-1] if configuration.reverse else streams
        refused: list[str] = []
        for own in [[path] for path in ordered] if configuration.alone else [ordered]:
            refused += self._run(configuration.settings, action, own, pixels=pixels)
        for reason in refused:
            print(f"{configuration.name}: {reason}", flush=True)
        return refused, pixels

    def _run(self, settings: Settings, action: Action, streams: list[Path], **details: Any) -> list[str]:
        job = Job(
            store=self._versions.store.url,
            model=self._versions.model.id,
            dictionary=self._versions.dictionary.id,
            settings=settings,
            action=action,
            streams=streams,
            **details,
        )
        # Threads that a process starts do not inherit torch's setting.
        environment = os.environ | settings.variables | {"OMP_NUM_THREADS": str(settings.threads)}
        command = [sys.executable, "-m", "benchmarks.codec.exactness_process", job.model_dump_json()]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ClcError(f"a process failed under {settings}:\n{result.stderr}")
        return result.stdout.splitlines()

    def _new_folder(self) -> Path:
        folder = self._folder / str(next(self._number))
        folder.mkdir()
        return folder
