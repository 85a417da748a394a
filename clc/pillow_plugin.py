"""`.clc` files in Pillow: `Image.open("photo.clc")` and `image.save("photo.clc", quality=40)` once `clc` is imported.

Opening reads the header alone; the picture is decoded when its pixels are first asked for, with the models and
dictionaries of the default store. Saving takes `quality`, `bpp` or `psnr`, and `references`, `effort`, `strip`,
`strip_gps` and `keep_profile`, as `clc compress` does, and `exif`, `xmp` and `icc_profile` in place of those that the
image has, as Pillow's own formats do. Pillow empties a file that is there before it asks for what goes into it, here as
everywhere.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from clc.errors import ClcError, ImageError

if TYPE_CHECKING:
    from clc.api import StoreCodec

_FORMAT, _MAGIC = "CLC", b"CLC"
_DESCRIBES = ("exif", "xmp", "icc_profile")
_lock = threading.Lock()  # a codec is not for several threads at once


class ClcImageFile(ImageFile.ImageFile):
    """A `.clc` stream as Pillow sees it: RGB, of the size that its header says."""

    format = _FORMAT
    format_description = "Conditional Latent Coding"
    _stream: bytes | None = None  # until it is decoded; never of a copy, which has pixels

    def _open(self) -> None:
        from clc.codec.bitstream import Bitstream
        from clc.codec.metadata_section import read_metadata

        assert self.fp is not None
        self._stream = self.fp.read()
        try:
            stream = Bitstream.from_bytes(self._stream)
        except ClcError as error:
            raise SyntaxError(str(error)) from error  # what Pillow takes for "not of this format"
        self._size = stream.header.width, stream.header.height
        self._mode = "RGB"
        self.tile = []
        try:
            metadata = read_metadata(stream.metadata)
        except ClcError:
            return
        said = {"exif": metadata.exif, "xmp": metadata.xmp, "icc_profile": metadata.profile}
        self.info |= {name: content for name, content in said.items() if content is not None}

    def load(self) -> Any:
        """Decode the picture, once. Raises BitstreamError, or MissingArtifactError without its model or dictionary."""
        if self._stream is not None:
            with _lock:
                self.im = _codec().decompress(self._stream).im
            self._stream = None
        return super().load()


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from clc.images.metadata import Carry

    said = image.encoderinfo
    carry = Carry(**{name: bool(said.get(name, False)) for name in ("strip", "strip_gps", "keep_profile")})
    target = {name: said[name] for name in ("quality", "bpp", "psnr") if name in said}
    with _lock, _described(image, said):
        data = _codec().compress(
            image, references=said.get("references", True), effort=said.get("effort", 0), carry=carry, **target
        )
    file.write(data)


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    if image.encoderinfo.get("append_images") or getattr(image, "n_frames", 1) > 1:
        raise ImageError("a .clc file holds one picture; save each to a file of its own, without save_all")
    _save(image, file, filename)


@contextmanager
def _described(image: Image.Image, said: Mapping[str, Any]) -> Iterator[None]:
    """The image as if its file had said what the caller does: of what is given empty, nothing."""
    before = image.info
    given = {name: said[name] for name in _DESCRIBES if name in said}
    if isinstance(given.get("exif"), Image.Exif):
        given["exif"] = given["exif"].tobytes()
    image.info = before | {name: value or b"" for name, value in given.items()}
    try:
        yield
    finally:
        image.info = before


@lru_cache(maxsize=1)
def _codec() -> "StoreCodec":
    from clc.api import load

    return load()


def register() -> None:
    """Make Pillow know `.clc` files."""
    Image.register_open(_FORMAT, ClcImageFile, lambda prefix: prefix.startswith(_MAGIC))
    Image.register_save(_FORMAT, _save)
    Image.register_save_all(_FORMAT, _save_all)
    Image.register_extension(_FORMAT, ".clc")
    Image.register_mime(_FORMAT, "image/x-clc")
