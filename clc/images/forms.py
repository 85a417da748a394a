"""A photo, or a stream of one, in whatever form a program has it."""

import os
import sys
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.errors import BitstreamError, ImageError
from clc.images.decode import MAX_PIXELS, DecodedPhoto, decode_photo, opened_photo, read_photo
from clc.images.metadata import Carry, Metadata

ImageLike: TypeAlias = Image.Image | NDArray[np.uint8] | str | os.PathLike[str] | bytes | BinaryIO | Any
"""A picture; its pixels uint8 [H, W, 3]; the file that it is in, by name, opened, or as bytes; or a tensor
uint8 [3, H, W]. Files by the rules of `clc.images.decode`."""


StreamLike: TypeAlias = bytes | bytearray | memoryview | BinaryIO
"""A `.clc` stream: its bytes, or the file that it is in, opened."""


def photo_from(image: ImageLike, *, max_pixels: int = MAX_PIXELS, carry: Carry | None = None) -> DecodedPhoto:
    """The photo in any of the forms of `ImageLike`, with what is to be carried of a file or a picture from one.

    Raises ImageError if it cannot be decoded, or is of another form.
    """
    if isinstance(image, Image.Image):
        return opened_photo(image, getattr(image, "filename", "") or "image", max_pixels=max_pixels, carry=carry)
    if isinstance(image, str | os.PathLike):
        return read_photo(os.fsdecode(image), max_pixels=max_pixels, carry=carry)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_photo(bytes(image), name="image", max_pixels=max_pixels, carry=carry)
    if not isinstance(image, np.ndarray) and hasattr(image, "read"):
        return decode_photo(_read(image), name=_name(image), max_pixels=max_pixels, carry=carry)
    return DecodedPhoto(_array(image), Metadata())


def stream_from(stream: StreamLike) -> bytes:
    """The bytes of a stream in any of the forms of `StreamLike`. Raises BitstreamError for another form."""
    if isinstance(stream, bytes | bytearray | memoryview):
        return bytes(stream)
    try:
        data: object = stream.read()
    except (AttributeError, OSError, ValueError) as error:
        raise BitstreamError(f"no stream can be read from {type(stream).__name__}: {error}; give its bytes") from error
    if not isinstance(data, bytes):
        raise BitstreamError(f"{type(stream).__name__} gives {type(data).__name__}; open it in binary mode")
    return data


def _array(image: object) -> NDArray[np.uint8]:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is not None and isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise ImageError(f"a tensor is uint8 [3, H, W], not {image.dtype} {list(image.shape)}")
        if image.layout is not torch.strided:
            raise ImageError("the tensor is sparse; give a dense one: to_dense()")
        try:
            array: NDArray[np.uint8] = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
        except NotImplementedError as error:
            raise ImageError("the tensor holds no numbers (device meta); give one that does") from error
        return array
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        raise ImageError("some of the array's values are masked; fill them first: filled()")
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(image)
    raise ImageError(
        f"no image can be read from {type(image).__name__}; give a PIL image, an array uint8 [H, W, 3], a tensor uint8 "
        "[3, H, W], or a file by its name, opened in binary mode, or as bytes"
    )


def _read(file: BinaryIO) -> bytes:
    try:
        data: object = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(f"{_name(file)}: cannot be read: {error}") from error
    if not isinstance(data, bytes):
        raise ImageError(f"{_name(file)}: gives {type(data).__name__}; open it in binary mode")
    return data


def _name(file: object) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "image"
