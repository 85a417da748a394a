"""ICC profiles (ICC.1:2022): what one says of itself, and one made from chromaticities and a tone curve.

PNG's chunks and AVIF's boxes describe colours by such numbers (ITU-T H.273), which LittleCMS takes as a profile only.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_BMP_HEADER = 14  # bytes of the file's, which the picture's follows
_BMP_COLOUR_SPACE, _BMP_PROFILE = _BMP_HEADER + 56, _BMP_HEADER + 112
_BMP_VERSION_4 = 108  # bytes of the first header that has a colour space
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Chromaticities:
    """CIE 1931 (x, y) of white and of the primaries."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]

    def to_xyz(self) -> NDArray[np.float64]:
        """The matrix from linear RGB to XYZ, white at Y = 1. Raises ValueError if there is none."""
        columns = np.stack([_xyz(*each) for each in (self.red, self.green, self.blue)], axis=1)
        if abs(np.linalg.det(columns)) < 1e-6:
            raise ValueError("the primaries lie on a line")
        matrix: NDArray[np.float64] = columns * np.linalg.solve(columns, _xyz(*self.white))
        return matrix


D65 = (0.3127, 0.3290)
SRGB = Chromaticities(D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = Chromaticities(D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256

_PRIMARIES = {  # by H.273's ColourPrimaries
    1: SRGB,
    4: Chromaticities((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Chromaticities(D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Chromaticities(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Chromaticities(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: Chromaticities((0.310, 0.316), (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: Chromaticities(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Chromaticities((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Chromaticities(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Chromaticities(D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.0812)
_CURVES: dict[int, tuple[float, ...]] = {  # by H.273's TransferCharacteristics; parametric curves of type 0 or 3
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}


def primaries(code: int) -> Chromaticities:
    """By H.273's ColourPrimaries. Raises ValueError for a code that names none."""
    if code not in _PRIMARIES:
        raise ValueError(f"colour primaries {code} are not known")
    return _PRIMARIES[code]


def profile_of_codes(primaries_code: int, transfer: int) -> bytes:
    """A profile of H.273's ColourPrimaries and TransferCharacteristics. Raises ValueError for codes without one."""
    if transfer not in _CURVES:
        raise ValueError(f"transfer characteristics {transfer} are not known")
    return matrix_profile(primaries(primaries_code), _CURVES[transfer])


def matrix_profile(colours: Chromaticities, curve: tuple[float, ...] = _SRGB_CURVE) -> bytes:
    """An ICC version 4 display profile. curve: a gamma, or (g, a, b, c, d): (a·x + b)^g from x = d on, c·x below.

    Raises ValueError for numbers that no profile can hold.
    """
    adaptation = _adaptation(colours.white)
    columns = adaptation @ colours.to_xyz()
    tone = b"para" + struct.pack(">IHH", 0, 0 if len(curve) == 1 else 3, 0) + _fixed(curve)
    tags = {
        b"desc": _text("RGB of stated chromaticities"),
        b"cprt": _text("No copyright"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(adaptation.ravel()),
        **{
            name: b"XYZ \0\0\0\0" + _fixed(column)
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone),
    }
    position = _HEADER + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", position + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", position + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    dated = head + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return dated.ljust(_HEADER, b"\0") + table + body


def colour_space(profile: bytes) -> str:
    """What a profile's numbers are: "RGB", "GRAY", "CMYK", "Lab", … Raises ValueError if it is not a colour profile."""
    if profile[36:40] != b"acsp" or len(profile) < _HEADER:
        raise ValueError("it does not begin as an ICC profile")
    lab = profile[12:20] == b"abstLab "  # what LittleCMS makes of Lab is of the class of effects
    if profile[12:16] not in (b"scnr", b"mntr", b"prtr", b"spac") and not lab:
        raise ValueError(f"it is of class {profile[12:16].decode('latin-1')!r}, not of a device or colour space")
    return profile[16:20].decode("latin-1").strip()


def cicp_of(profile: bytes) -> tuple[int, int] | None:
    """ColourPrimaries and TransferCharacteristics where a profile states them (tag `cicp`)."""
    count = min(struct.unpack_from(">I", profile, _HEADER)[0], 100) if len(profile) >= _HEADER + 4 else 0
    for index in range(count):
        entry = profile[_HEADER + 4 + 12 * index :][:12]
        if len(entry) == 12 and entry[:4] == b"cicp":
            content = profile[struct.unpack(">I", entry[4:8])[0] :][8:12]
            return (content[0], content[1]) if len(content) == 4 else None
    return None


def _adaptation(white: tuple[float, float]) -> NDArray[np.float64]:
    """From colours under `white` to those under D50 (Bradford)."""
    ratio = (_BRADFORD @ _D50) / (_BRADFORD @ _xyz(*white))
    adaptation: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD
    return adaptation


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    if not (0.0 <= x <= 1.0 and 0.00005 <= y <= 1.0):  # ProPhoto's blue, beyond what can be seen, has y = 0.0001
        raise ValueError(f"there is no colour ({x:g}, {y:g})")
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def _fixed(numbers: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    """s15Fixed16Number."""
    values = [round(float(number) * 65536) for number in numbers]
    if any(abs(value) >= 2**31 for value in values):
        raise ValueError("a number is out of range")
    return struct.pack(f">{len(values)}i", *values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(encoded), 28) + encoded


def bmp_profile(data: bytes) -> bytes | None:
    """The profile in a BMP file, which Pillow does not read (BITMAPV5HEADER, PROFILE_EMBEDDED); None without any."""
    if _bmp_colour_space(data) != b"DEBM":
        return None
    offset, size = struct.unpack_from("<II", data, _BMP_PROFILE)
    return data[_BMP_HEADER + offset : _BMP_HEADER + offset + size]


def links_profile(data: bytes) -> bool:
    """Whether a BMP file names another file, which has its profile (PROFILE_LINKED)."""
    return _bmp_colour_space(data) == b"KNIL"


def bmp_calibration(data: bytes) -> bytes | None:
    """A profile of the chromaticities and gammas in a BMP file (LCS_CALIBRATED_RGB); None if there are none.

    Raises ValueError for numbers that no profile can hold.
    """
    if _bmp_colour_space(data) != bytes(4):
        return None
    ends = np.array(struct.unpack_from("<9i", data, _BMP_COLOUR_SPACE + 4)).reshape(3, 3) / 2**30
    gammas = struct.unpack_from("<3I", data, _BMP_COLOUR_SPACE + 40)
    sums = ends.sum(axis=1, keepdims=True)
    if not sums.all() or not all(gammas):
        return None  # many programs leave out what they do not know
    # Some write XYZ, whose sum is white; most write chromaticities, x + y + z = 1, and mean D65.
    white = D65 if np.abs(sums - 1).max() < 0.01 else tuple(ends.sum(axis=0)[:2] / ends.sum())
    red, green, blue = ((float(x), float(y)) for x, y, _ in ends / sums)
    curve = sum(gammas) / len(gammas) / 65536
    return matrix_profile(Chromaticities((float(white[0]), float(white[1])), red, green, blue), (curve,))


def _bmp_colour_space(data: bytes) -> bytes | None:
    if data[:2] != b"BM" or int.from_bytes(data[_BMP_HEADER : _BMP_HEADER + 4], "little") < _BMP_VERSION_4:
        return None
    return data[_BMP_COLOUR_SPACE : _BMP_COLOUR_SPACE + 4]
