"""Blocks of a GIF file (GIF89a, 26) that Pillow does not read: a colour profile, XMP, and those of single programs."""

from collections.abc import Iterator
from dataclasses import dataclass

_TRAILER, _EXTENSION, _PICTURE = 0x3B, 0x21, 0x2C
_APPLICATION, _PLAIN_TEXT = 0xFF, 0x01
_NAME = 11  # bytes of an application's name, which its data follows
_PROFILE, _XMP = b"ICCRGBG1012", b"XMP DataXMP"
_XMP_TRAILER = 258  # bytes behind XMP that lead a reader of blocks out of it: 1, 255 to 0, 0
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


@dataclass(frozen=True)
class GifBlocks:
    """further: names of other applications. end: where the file's last block ends."""

    all_profiles: tuple[bytes, ...] = ()
    all_xmp: tuple[bytes, ...] = ()
    further: tuple[str, ...] = ()
    end: int = 0

    @property
    def profile(self) -> bytes | None:
        """The colour profile that counts."""
        return self.all_profiles[-1] if self.all_profiles else None

    @property
    def xmp(self) -> bytes | None:
        """The XMP that counts."""
        return self.all_xmp[-1] if self.all_xmp else None


def gif_blocks(data: bytes) -> GifBlocks:
    """What the blocks of a GIF file hold; of a file that breaks off, what came before."""
    profiles: list[bytes] = []
    xmp: list[bytes] = []
    further = set()
    end = len(data)
    try:
        for kind, start, end in _blocks(data):
            name = data[start : start + _NAME]
            if kind == _PLAIN_TEXT:
                further.add("plain text")
            elif kind != _APPLICATION or name in _LOOPS:
                continue
            elif name == _PROFILE:
                profiles.append(b"".join(_parts(data, start + _NAME)))
            elif name == _XMP:
                xmp.append(data[start + _NAME : end - _XMP_TRAILER])
            else:
                further.add(name.decode("latin-1").strip())
    except IndexError:
        end = len(data)
    return GifBlocks(tuple(profiles), tuple(xmp), tuple(sorted(further)), end)


def _blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each block's kind (an extension's label, else its first byte), where its content starts and where it ends."""
    position = 13 + _table(data[10])
    while True:
        kind = data[position]
        if kind == _EXTENSION:
            kind, start = data[position + 1], position + 3
            position = _behind(data, position + 2)
        elif kind == _PICTURE:
            start = position + 1
            position = _behind(data, position + 11 + _table(data[position + 9]))
        else:
            yield _TRAILER, position + 1, position + 1
            return
        yield kind, start, position


def _table(flags: int) -> int:
    """Bytes of the colours that follow."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _parts(data: bytes, position: int) -> Iterator[bytes]:
    while (length := data[position]) != 0:
        yield data[position + 1 : position + 1 + length]
        position += 1 + length


def _behind(data: bytes, position: int) -> int:
    """Where the sub-blocks that start at a position end."""
    while (length := data[position]) != 0:
        position += 1 + length
    return position + 1
