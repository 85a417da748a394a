"""Numbers as an index holds them: single ones in as few bytes as they need, and columns of them (docs/archive.md)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clc.errors import ArchiveError

_LAST = 2**64 - 1
_MOST_VARINT_BYTES = 10
_WIDTH, _DIFFERENCES, _UNIT = 0x0F, 0x10, 0x20  # in the first byte of a column


def pack_varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1, seven bits in a byte, the lowest first.

    >>> pack_varint(5).hex(), pack_varint(300).hex()
    ('05', 'ac02')
    """
    packed = bytearray()
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)
    return bytes(packed)


class Cursor:
    """Reads what one part of an archive consists of, from front to back. name: what errors call the part.

    Methods raise ArchiveError where it ends too soon or makes no sense.
    """

    def __init__(self, data: bytes, name: str, at: int = 0) -> None:
        self._data, self._name, self.at = data, name, at

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._data) - self.at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise ArchiveError(f"{self._name} is cut short")
        self.at += count
        return self._data[self.at - count : self.at]

    def varint(self, most: int = _LAST) -> int:
        """A number of at most `most`, as `pack_varint` writes it."""
        number = 0
        for place in range(_MOST_VARINT_BYTES):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if number > most:
                    break
                return number
        raise ArchiveError(f"{self._name} has a number out of range")

    def column(self, count: int) -> NDArray[np.int64]:
        """`count` numbers, as `pack_column` writes them."""
        kind = self.take(1)[0]
        width = kind & _WIDTH
        if kind & ~(_WIDTH | _DIFFERENCES | _UNIT) or width > 8:
            raise ArchiveError(f"{self._name} has a column of unknown kind {kind}")
        first = [self._signed()] if kind & _DIFFERENCES and count else []
        base = self._signed()
        unit = np.uint64(self.varint() if kind & _UNIT else 1)
        planes = np.frombuffer(self.take(width * (count - len(first))), np.uint8).reshape(width, count - len(first))
        numbers = np.zeros(count - len(first), np.uint64)
        for place, plane in enumerate(planes):
            numbers |= plane.astype(np.uint64) << np.uint64(8 * place)
        numbers = numbers * unit + base
        if first:
            numbers = np.cumsum(np.concatenate([np.array(first), numbers]), dtype=np.uint64)
        return numbers.view(np.int64)

    def _signed(self) -> np.uint64:
        """A number that is folded, modulo 2^64."""
        folded = self.varint()
        return np.uint64((folded // 2 if folded % 2 == 0 else -(folded + 1) // 2) % 2**64)

    def end(self) -> None:
        """Raises unless everything was read."""
        if self.left:
            raise ArchiveError(f"{self._name} has {self.left:,} bytes too many")


def pack_column(numbers: NDArray[Any]) -> bytes:
    """Signed numbers of 64 bits, or their differences: how far above the least each is, in units of what divides all.

    Bytes of one significance lie together. A constant column, or one that rises evenly, takes a few bytes.
    """
    plain = np.asarray(numbers, np.int64)
    if len(plain) < 2:
        return _packed(plain, 0)
    return min(_packed(plain, 0), _packed(np.diff(plain), _DIFFERENCES, _folded(int(plain[0]))), key=len)


def _packed(numbers: NDArray[np.int64], kind: int, *first: int) -> bytes:
    base = int(numbers.min(initial=2**63 - 1)) if len(numbers) else 0
    above = numbers.view(np.uint64) - np.uint64(base % 2**64)
    unit = int(np.gcd.reduce(above)) if len(above) else 0
    packed = b"".join(map(pack_varint, (*first, _folded(base))))
    if unit > 1:
        kind, packed, above = kind | _UNIT, packed + pack_varint(unit), above // np.uint64(unit)
    width = (int(above.max(initial=0)).bit_length() + 7) // 8
    planes = np.ascontiguousarray(above.astype("<u8")).view(np.uint8).reshape(len(above), 8).T[:width]
    return bytes([kind | width]) + packed + planes.tobytes()


def _folded(number: int) -> int:
    """0, -1, 1, -2 … → 0, 1, 2, 3 …"""
    return 2 * number if number >= 0 else -2 * number - 1
