"""One process of the benchmark `exactness`: encodes or decodes under the settings of its job, which it gets as JSON."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel

from benchmarks.codec.batch import decoded_latents, hyper_size
from benchmarks.codec.subject import Subject
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.errors import BitstreamError
from clc.images import open_source, read_photos
from clc.model.exact.synthesis import ExactSynthesis
from clc.store import Kind
from clc.store.shipped import LayeredStore

QUALITIES = (10.0, 50.0, 90.0)
"""Photos are coded at these in turn."""
_BATCH = 4


class Action(StrEnum):
    """What a process does with its streams."""

    ENCODE = "encode"  # write them
    DECODE = "decode"  # with the codec, one after the other
    DECODE_AT_ONCE = "decode at once"  # with the codec, in four threads
    DECODE_EXACTLY = "decode exactly"  # streams without references, by the prior path and the exact synthesis
    DECODE_IN_BATCHES = "decode in batches"  # the same, four streams together


class Settings(BaseModel):
    """How a process computes. Variables of the environment are read by libraries when they are loaded."""

    threads: int = 1
    onednn: bool = True
    device: str = "cpu"
    variables: dict[str, str] = {}


class Job(BaseModel):
    """One process: the versions to use, and the streams to write or to read."""

    store: str
    model: str
    dictionary: str
    settings: Settings
    action: Action
    streams: list[Path]
    source: str | None = None
    """Photos to encode, one for each stream."""
    references: bool = True
    """Whether they are encoded with references."""
    pixels: Path | None = None
    """Folder that decoded images are written to, as STREAM.npy."""

    def run(self) -> None:
        """Do what the job says; print the reason for every stream that is refused, a line each."""
        torch.set_num_threads(self.settings.threads)
        store = LayeredStore(self.store)
        model, dictionary = store.get(Kind.MODEL, self.model), store.get(Kind.DICTIONARY, self.dictionary)
        codec = Subject(store, model, dictionary).codec()
        codec.model.to(self.settings.device)
        with nullcontext() if self.settings.onednn else torch.backends.mkldnn.flags(enabled=False):
            for refusal in filter(None, self._actions()[self.action](codec)):
                print(refusal)

    def _actions(self) -> dict[Action, Callable[[Codec], list[str | None]]]:
        return {
            Action.ENCODE: self._encode,
            Action.DECODE: lambda codec: [self._decode(codec, path) for path in self.streams],
            Action.DECODE_AT_ONCE: self._decode_at_once,
            Action.DECODE_EXACTLY: lambda codec: self._decode_exactly(codec, batch=1),
            Action.DECODE_IN_BATCHES: lambda codec: self._decode_exactly(codec, batch=_BATCH),
        }

    def _encode(self, codec: Codec) -> list[str | None]:
        assert self.source is not None
        photos = islice(read_photos(open_source(self.source), skipped=[]), len(self.streams))
        for number, (path, photo) in enumerate(zip(self.streams, photos, strict=True)):
            quality = QUALITIES[number % len(QUALITIES)]
            path.write_bytes(codec.compress(photo.pixels, quality=quality, references=self.references, always=True))
        return []

    def _decode(self, codec: Codec, path: Path) -> str | None:
        assert self.pixels is not None
        try:
            np.save(self.pixels / f"{path.stem}.npy", codec.decompress(path.read_bytes()))
        except BitstreamError as error:
            return f"{path.name}: {error}"
        return None

    def _decode_at_once(self, codec: Codec) -> list[str | None]:
        with ThreadPoolExecutor(_BATCH) as pool:
            return list(pool.map(partial(self._decode, codec), self.streams))

    def _decode_exactly(self, codec: Codec, batch: int) -> list[str | None]:
        synthesis = ExactSynthesis(codec.model)
        groups: dict[tuple[float, ...], list[tuple[Path, Bitstream]]] = {}
        for number, path in enumerate(self.streams):
            stream = Bitstream.from_bytes(path.read_bytes())
            header = stream.header
            alike = (*hyper_size(header), header.quality) if batch > 1 else (number,)
            groups.setdefault(alike, []).append((path, stream))
        refusals: list[str | None] = []
        for group in groups.values():
            for start in range(0, len(group), batch):
                refusals += self._decode_batch(codec, synthesis, group[start : start + batch])
        return refusals

    def _decode_batch(
        self, codec: Codec, synthesis: ExactSynthesis, batch: list[tuple[Path, Bitstream]]
    ) -> list[str | None]:
        assert self.pixels is not None
        decoded = decoded_latents(codec.model, [stream for _, stream in batch])
        pictures = synthesis(decoded.latents, decoded.features, batch[0][1].header.quality)
        for (path, stream), picture in zip(batch, pictures, strict=True):
            np.save(self.pixels / f"{path.stem}.npy", picture[: stream.header.height, : stream.header.width])
        return [
            None if checksum == stream.latent_checksum else f"{path.name}: another latent"
            for (path, stream), checksum in zip(batch, decoded.checksums(), strict=True)
        ]


if __name__ == "__main__":
    Job.model_validate_json(sys.argv[1]).run()
