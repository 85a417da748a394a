"""Samples of a TIFF file that lie in planes, one for each colour (TIFF 6.0, PlanarConfiguration 2).

Pillow takes planes of 16 bits for planes of 8 where they are not compressed, and grey for all there is where a
compressed plane of alpha follows.
"""

from typing import Any

from PIL import Image

_BITS, _COMPRESSION, _PLANES = 258, 259, 284
_SEPARATE, _UNCOMPRESSED = 2, 1
_READ_RIGHT = "_planes_are_read_right"


class UnreadPlanesError(Exception):
    """A TIFF file has planes that Pillow reads as something else."""


def read_planes(image: Image.Image) -> None:
    """Let Pillow read the planes of an opened TIFF file as they are.

    Raises UnreadPlanesError if it cannot, or has read them wrong before.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) != _SEPARATE or hasattr(image, _READ_RIGHT):
        return
    plain = tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
    if image.mode == "LA" and not plain:
        raise UnreadPlanesError("grey and alpha lie in planes that are compressed; save it with its samples together")
    if not plain or max(tags.get(_BITS, (8,))) <= 8:
        return
    if image.mode not in ("RGB", "RGBA"):
        raise UnreadPlanesError("samples of 16 bits lie in planes; save it with its samples together")
    tiles: list[Any] = getattr(image, "tile", [])
    if not tiles:
        raise UnreadPlanesError("samples of 16 bits lie in planes, which Pillow has read as 8; give the file itself")
    order = ";16B" if tags.prefix == b"MM" else ";16L"
    image.tile = [tile._replace(args=(tile.args[0] + order, *tile.args[1:])) for tile in tiles]  # type: ignore[attr-defined]
    setattr(image, _READ_RIGHT, True)
