"""Files that begin as photos and are none yet: cameras' raw files, and what this codec wrote itself."""

from PIL import Image

from clc.images.losses import frames
from clc.images.sources.recognise import FIRST_BYTES, is_raw

_NEW_KIND, _KIND, _BELOW = 254, 255, 330  # NewSubfileType, SubfileType, SubIFDs (TIFF 6.0)
_DNG_VERSION = 50706
_RAW = "a camera's raw file is not a finished picture; develop it to TIFF or JPEG first"
_SMALL = "its first picture is a small version of another, as in cameras' raw files; develop it, or save that one alone"
_OURS = "a stream or an archive of clc; `clc decompress` or `clc unpack` gives its pictures"


def why_not_finished(data: bytes) -> str | None:
    """Why a file is no picture to be coded, by its first bytes; None if they do not tell."""
    if data.startswith(b"\x93CLCA") or (data.startswith(b"CLC") and data[3:4] < b" "):
        return _OURS
    return _RAW if is_raw(data[:FIRST_BYTES]) else None


def why_not_whole(image: Image.Image) -> str | None:
    """Why the first picture of an opened TIFF file is not the one that matters; None if it is."""
    if image.format != "TIFF" or image.tell() != 0:
        return None
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags:
        return _RAW
    is_small = tags.get(_NEW_KIND, 0) & 1 or tags.get(_KIND) == 2
    return _SMALL if is_small and (_BELOW in tags or frames(image) > 1) else None
