"""Small archives for tests: streams that hold lossless pictures, which need no network and no model."""

import io
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.archive.byte_ranges import FileObject
from clc.archive.coding import CodedPhoto, CodingSettings
from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow, sha256
from clc.archive.framing import Label
from clc.archive.writer import ArchiveWriter
from clc.codec.bitstream import Bitstream
from clc.codec.decisions.targets import Compressed, Target
from clc.codec.lossless import lossless_file, read_lossless
from clc.codec.stream_header import NO_DICTIONARY, Header
from clc.errors import ImageError
from clc.images import open_source, read_photos

MODEL = "0123456789abcdef"
WORK = b"what for"


def pixels(seed: int, height: int = 6, width: int = 9) -> NDArray[np.uint8]:
    """Noise, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bundled_crops() -> list[NDArray[np.uint8]]:
    """Parts, uint8 [160, 224, 3], of two photos that have nothing in common."""
    photos = islice(read_photos(open_source("bundled"), skipped=[]), 2)
    return [photo.pixels[40:200, 60:284] for photo in photos]


def stream_of(picture: NDArray[np.uint8], quality: float = 50.0, model: str = MODEL) -> bytes:
    """A `.clc` stream that holds a picture as it is."""
    header = Header(model, NO_DICTIONARY, *picture.shape[:2], quality, 0, 0)
    nothing = np.zeros((header.queries, 0), np.int64)
    return Bitstream(header, nothing, None, None, 0, picture=lossless_file(picture)).to_bytes()


def member(name: str, stream: int, seed: int) -> MemberRow:
    """A member of a made-up file."""
    return MemberRow(name, stream, sha256(b"file %d" % seed), 1000 + seed, 1_700_000_000_123_456_789 + seed, 0o644)


def fill(writer: ArchiveWriter, seeds: Sequence[int]) -> None:
    """Add a member for each seed."""
    for seed in seeds:
        name = f"folder/photo-{seed}.jpg"
        number = writer.add_stream(stream_of(pixels(seed)), Label(WORK, name))
        writer.add_member(member(name, number, seed))


def archive_bytes(seeds: Sequence[int] = range(5)) -> bytes:
    """An archive of some members."""
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    fill(writer, seeds)
    writer.close()
    return file.getvalue()


def reader_of(data: bytes) -> ArchiveReader:
    """The archive in memory, opened."""
    return ArchiveReader(FileObject(io.BytesIO(data)))


class LosslessCoder:
    """Codes every photo as it is. pause: seconds that it takes for each, so that it can be interrupted."""

    max_pixels = 2**26
    takes_keys = False

    def __init__(self, quality: float = 50.0, pause: float = 0.0) -> None:
        self.settings = CodingSettings(MODEL * 4, Target.choose(quality))
        self.pause = pause
        self.coded = 0
        self.keys: dict[bytes, list[bytes]] = {}  # of the streams that were given some
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Nothing to prepare."""

    def code(
        self, picture: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = (), *, effort: int = 0
    ) -> CodedPhoto:
        """The stream of a picture, which refers to all keys; one of a single pixel is refused."""
        if picture.shape == (1, 1, 3):
            raise ImageError("image is too small for this coder")
        time.sleep(self.pause)
        with self._lock:
            self.coded += 1
        data = stream_of(picture, self.settings.target.value)
        if keys:
            self.keys[data] = list(keys)
        coded = Compressed(data, self.settings.target.value, 8 * len(data) / picture[..., 0].size, lossless=True)
        return CodedPhoto(coded, tuple(range(len(keys))))

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """The picture in a stream."""
        return read_lossless(Bitstream.from_bytes(stream).picture or b"", 6, 9)


class LosslessDecoder:
    """Decodes what `LosslessCoder` made."""

    def decode(self, stream: bytes, keys: Sequence[bytes]) -> Image.Image:
        """The picture in a stream."""
        parsed = Bitstream.from_bytes(stream)
        assert parsed.picture is not None
        return Image.fromarray(read_lossless(parsed.picture, parsed.header.height, parsed.header.width))


def write_photos(folder: Path, seeds: Sequence[int]) -> Path:
    """PNG files photo-SEED.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(pixels(seed)).save(folder / f"photo-{seed}.png")
    return folder
