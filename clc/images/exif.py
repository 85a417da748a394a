"""EXIF as it is carried: the camera's bytes, edited in place, so that what is not understood stays readable (maker
notes, whose offsets count from the start of the whole).

A TIFF structure (TIFF 6.0, section 2; EXIF 2.32): directories of entries of 12 bytes, each a tag, a type, a count, and
the value or where it lies.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PREFIX = b"Exif\0\0"
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT, _LONG = 3, 4
_MAGIC = 42
_ENTRY = 12

_ORIENTATION = 0x0112
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_COLOUR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
_INTEROPERABILITY_INDEX = 0x0001
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_STRIP_OFFSETS, _STRIP_LENGTHS = 0x0111, 0x0117
_SRGB = 1


@dataclass(frozen=True)
class _Entry:
    position: int
    tag: int
    type: int
    value: int  # where it lies
    size: int  # bytes that it takes


def edited_exif(exif: bytes, *, width: int, height: int, to_srgb: bool, without_gps: bool) -> bytes:
    """EXIF that fits an upright picture of width × height: orientation 1, that size, no thumbnail.

    to_srgb: whether the picture's numbers were made sRGB, which a tag says too. without_gps: leave out the position.
    Raises ValueError if it is damaged.
    """
    return _Editor(exif).edited(width, height, to_srgb, without_gps)


def names_adobe_rgb(exif: bytes) -> bool:
    """Whether EXIF names Adobe RGB, as cameras do that embed no profile: interoperability index R03 (DCF 2.0)."""
    try:
        return _Editor(exif).interoperability() == b"R03"
    except ValueError:
        return False


class _Editor:
    def __init__(self, exif: bytes) -> None:
        self._data = bytearray(exif.removeprefix(_PREFIX))
        order = {b"II": "<", b"MM": ">"}.get(bytes(self._data[:2]))
        if order is None or len(self._data) < 8:
            raise ValueError("EXIF does not begin as TIFF")
        self._order = order
        if self._number(_SHORT, 2) != _MAGIC:
            raise ValueError("EXIF does not begin as TIFF")
        self._first = self._number(_LONG, 4)

    def edited(self, width: int, height: int, to_srgb: bool, without_gps: bool) -> bytes:
        if without_gps:
            self._drop_position()
        self._drop_thumbnail()
        self._set_upright()
        first = self._entries(self._first)
        details = self._below(first, _EXIF)
        self._set(details.get(_WIDTH), width)
        self._set(details.get(_HEIGHT), height)
        if to_srgb:
            self._set(details.get(_COLOUR_SPACE), _SRGB)
            index = self._below(details, _INTEROPERABILITY).get(_INTEROPERABILITY_INDEX)
            if index is not None and index.size == 4:
                self._data[index.value : index.value + 4] = b"R98\0"
        return bytes(self._data)

    def interoperability(self) -> bytes | None:
        details = self._below(self._entries(self._first), _EXIF)
        index = self._below(details, _INTEROPERABILITY).get(_INTEROPERABILITY_INDEX)
        return None if index is None else bytes(self._data[index.value : index.value + index.size]).rstrip(b"\0")

    def _number(self, type: int, position: int) -> int:
        try:
            (number,) = struct.unpack_from(self._order + ("H" if type == _SHORT else "L"), self._data, position)
        except struct.error as error:
            raise ValueError("EXIF is cut short") from error
        return int(number)

    def _entries(self, directory: int) -> dict[int, _Entry]:
        return {entry.tag: entry for entry in self._walk(directory)}

    def _walk(self, directory: int) -> Iterator[_Entry]:
        for index in range(self._number(_SHORT, directory)):
            position = directory + 2 + _ENTRY * index
            tag, type = self._number(_SHORT, position), self._number(_SHORT, position + 2)
            size = self._number(_LONG, position + 4) * _TYPE_SIZES.get(type, 1)
            value = position + 8 if size <= 4 else self._number(_LONG, position + 8)
            if value + size > len(self._data):
                raise ValueError("EXIF is cut short")
            yield _Entry(position, tag, type, value, size)

    def _below(self, directory: dict[int, _Entry], tag: int) -> dict[int, _Entry]:
        return self._entries(self._number(_LONG, directory[tag].value)) if tag in directory else {}

    def _set_upright(self) -> None:
        """Whatever type and count an orientation has: readers turn the picture by each of them."""
        for entry in list(self._walk(self._first)):
            if entry.tag == _ORIENTATION:
                packed = struct.pack(self._order + "HHLHH", _ORIENTATION, _SHORT, 1, 1, 0)
                self._data[entry.position : entry.position + _ENTRY] = packed

    def _drop_position(self) -> None:
        """Wherever it is: some programs have it among EXIF's own tags, or beside the thumbnail."""
        first = self._entries(self._first)
        second = self._number(_LONG, self._first + 2 + _ENTRY * self._number(_SHORT, self._first))
        for directory in (self._first, self._number(_LONG, first[_EXIF].value) if _EXIF in first else 0, second):
            while directory and (entry := self._entries(directory).get(_GPS)) is not None:
                self._wipe_directory(self._number(_LONG, entry.value))
                self._remove(directory, entry)

    def _set(self, entry: _Entry | None, value: int) -> None:
        if entry is not None and entry.type in (_SHORT, _LONG) and entry.size == _TYPE_SIZES[entry.type]:
            struct.pack_into(self._order + ("H" if entry.type == _SHORT else "L"), self._data, entry.value, value)

    def _remove(self, directory: int, entry: _Entry) -> None:
        count = self._number(_SHORT, directory)
        end = directory + 2 + _ENTRY * count + 4  # with the place of the next directory
        rest = self._data[entry.position + _ENTRY : end]
        self._data[entry.position : end] = rest + bytes(_ENTRY)
        struct.pack_into(self._order + "H", self._data, directory, count - 1)

    def _drop_thumbnail(self) -> None:
        link = self._first + 2 + _ENTRY * self._number(_SHORT, self._first)
        directory = self._number(_LONG, link)
        if directory == 0:
            return
        entries = self._entries(directory)
        end = len(self._data)
        for tags in ((_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH), (_STRIP_OFFSETS, _STRIP_LENGTHS)):
            if all(tag in entries for tag in tags):
                start, length = (self._number(_LONG, entries[tag].value) for tag in tags)
                self._wipe(start, length)
                if directory < start and start + length >= end:
                    end = start
        self._wipe_directory(directory)
        struct.pack_into(self._order + "L", self._data, link, 0)
        if end > link + 4:
            del self._data[end:]

    def _wipe_directory(self, directory: int) -> None:
        count = self._number(_SHORT, directory)
        for entry in self._walk(directory):
            if entry.size > 4:
                self._wipe(entry.value, entry.size)
        self._wipe(directory, 2 + _ENTRY * count)

    def _wipe(self, start: int, length: int) -> None:
        stop = min(start + length, len(self._data))
        if start >= 8:  # the header stays
            self._data[start:stop] = bytes(max(0, stop - start))
