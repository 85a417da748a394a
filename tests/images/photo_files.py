"""Image files with everything that photos have beside their pixels, made by hand; and reading them as commands do."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from clc.images.decode import DecodedPhoto, decode_photo
from clc.images.icc_profile import ADOBE_GAMMA, ADOBE_RGB, SRGB, Chromaticities, matrix_profile, primaries
from clc.images.metadata import Carry

DISPLAY_P3 = matrix_profile(primaries(12))
ADOBE = matrix_profile(ADOBE_RGB, (ADOBE_GAMMA,))
PROPHOTO = matrix_profile(
    Chromaticities((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (1.8,)
)
WIDE = {"Adobe RGB": ADOBE, "Display P3": DISPLAY_P3, "ProPhoto": PROPHOTO}


def read(data: bytes, **carry: bool) -> DecodedPhoto:
    """What `clc compress` makes of a file. carry: of `Carry`."""
    return decode_photo(data, name="photo", carry=Carry(**carry))


def srgb_profile() -> bytes:
    """As LittleCMS makes it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_srgb() -> bytes:
    """As some cameras have it: called sRGB, with a gamma of 2.2."""
    called = "sRGB".encode("utf-16-be")
    text = b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(called), 28) + called
    profile = matrix_profile(SRGB, (2.2,))
    start = profile.index(b"mluc")
    return profile[:start] + text.ljust(84, b"\0") + profile[start + 84 :]


def grey_profile(gamma: float) -> bytes:
    """A version 2 profile of grey numbers."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv" + struct.pack(">IIH", 0, 1, round(256 * gamma)) + bytes(2),
    }
    return _version_2(b"mntr", b"GRAY", b"XYZ ", tags)


def _version_2(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    position = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", position + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", position + len(body), bytes(4), 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


LIGHT_OF_CMYK = (118, 118, 118)
"""What `cmyk_profile` shows for all inks: the grey of L* = 50."""


def cmyk_profile() -> bytes:
    """A version 2 output profile whose inks all give the same grey, L* = 50 (a table of 2 levels an ink)."""
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += bytes(range(256)) * 4 + bytes([128, 128, 128]) * 16 + bytes(range(256)) * 3
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061), b"A2B0": lut, b"A2B1": lut}
    return _version_2(b"prtr", b"CMYK", b"Lab ", tags)


def pixels(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Random colours."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Colours that lossy formats keep."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 200], axis=-1).astype(np.uint8)


def encoded(image: Image.Image | NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """An image file as Pillow writes it."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(image: NDArray[np.uint8], **chunks: bytes) -> bytes:
    """A PNG file with these chunks behind its header."""
    file = encoded(image, "PNG")
    return file[:33] + b"".join(chunk(kind.encode(), content) for kind, content in chunks.items()) + file[33:]


def exif(*, orientation: int = 1, gps: bool = False, interoperability: bytes | None = None) -> bytes:
    """EXIF with a camera, an orientation, a maker note, the size of the picture and, if asked for, a position."""
    made = Image.Exif()
    made[0x010F] = "Lantern"
    made[0x0112] = orientation
    details: dict[int, Any] = {
        0x9003: "2024:05:06 07:08:09",
        0x927C: b"maker note",
        0xA001: 65535,
        0xA002: 9,
        0xA003: 9,
    }
    if interoperability is not None:
        details[0xA005] = {1: interoperability.decode()}
    made._ifds[0x8769] = details
    made[0x8769] = details
    if gps:
        made[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 17.25)}
    return made.tobytes()


def exif_with_thumbnail(thumbnail: bytes) -> bytes:
    """EXIF whose second directory holds a thumbnail, as cameras write it."""
    first = struct.pack("<H", 1) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    second_at = 8 + len(first) + 4
    second = struct.pack("<H", 2)
    data_at = second_at + 2 + 24 + 4
    second += struct.pack("<HHII", 0x0201, 4, 1, data_at) + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    body = first + struct.pack("<I", second_at) + second + bytes(4) + thumbnail
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body


def exif_with_position_at(directory: int) -> bytes:
    """EXIF with a position that its own tags (0x8769) or a second directory (0) lead to, as some programs write it."""
    leads = struct.pack("<HHHII", 1, 0x8825, 4, 1, 100) + bytes(4)
    first = struct.pack("<HHHII", 1, directory or 0x0112, 4, 1, 50 if directory else 1)
    body = (first + struct.pack("<I", 0 if directory else 50)).ljust(42, b"\0") + leads
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body.ljust(92, b"\0") + POSITION


POSITION = struct.pack("<HHHII", 1, 2, 5, 3, 118) + bytes(4) + struct.pack("<6I", 52, 1, 31, 1, 1250, 100)


def jpeg_xmp(xmp: bytes | None) -> list[tuple[int, bytes]]:
    """The segment of it, if there is any."""
    return [] if xmp is None else [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)]


def exif_as_text(digits: str, length: int) -> bytes:
    """The content of a PNG file's zTXt chunk with EXIF in hexadecimal digits, as ImageMagick wrote it."""
    return b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{length:8}\n{digits}\n".encode())


def xmp(inside: str = "", attributes: str = "") -> bytes:
    """XMP with these attributes and elements."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" '
        f'xmp:Rating="4"{attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG file with these segments, each a marker's second byte and a content, behind its first marker."""
    file = encoded(smooth(), "JPEG")
    packed = [bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content for marker, content in segments]
    return file[:2] + b"".join(packed) + file[2:]


def webp_with(kind: bytes, *contents: bytes) -> bytes:
    """A WebP file with further chunks at its end, which its flags do not announce."""
    file = encoded(smooth(), "WEBP")
    for content in contents:
        file += kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return file[:4] + struct.pack("<I", len(file) - 8) + file[8:]


def png_xmp(xmp: bytes) -> bytes:
    """The content of a PNG file's iTXt chunk with XMP."""
    return b"XML:com.adobe.xmp\0\0\0\0\0" + xmp


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with these chunks, each a kind and a content, behind its header."""
    file = encoded(smooth(), "PNG")
    return file[:33] + b"".join(chunk(kind, content) for kind, content in chunks) + file[33:]


def gif_with_all(first: bytes, second: bytes) -> bytes:
    """A GIF file with two XMP."""
    file, other = (gif_with(b"XMP DataXMP", each, parts=False) for each in (first, second))
    start = file.index(b"\x21\xff\x0bXMP")
    end = other.index(second) + len(second) + 258
    return file[:start] + other[start:end] + file[start:]


def bmp_with(profile: bytes, image: NDArray[np.uint8]) -> bytes:
    """A BMP file with an embedded profile (BITMAPV5HEADER); its rows must be multiples of 4 bytes."""
    height, width = image.shape[:2]
    rows = np.ascontiguousarray(image[::-1, :, ::-1]).tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + bytes(16)
    header += b"DEBM" + bytes(48) + struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    size = 14 + len(header) + len(rows) + len(profile)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header)) + header + rows + profile


def calibrated_bmp(colours: Chromaticities, gamma: float, image: NDArray[np.uint8]) -> bytes:
    """A BMP file that states chromaticities and a gamma (LCS_CALIBRATED_RGB)."""
    file = bmp_with(b"", image)
    start = file.index(b"DEBM")
    ends = [round(value * 2**30) for x, y in (colours.red, colours.green, colours.blue) for value in (x, y, 1 - x - y)]
    stated = bytes(4) + struct.pack("<9i3I", *ends, *[round(gamma * 65536)] * 3)
    return file[:start] + stated + file[start + len(stated) :]


def gif_with(application: bytes, content: bytes, *, parts: bool = True) -> bytes:
    """A GIF file with a block of an application; parts: the content as sub-blocks, else as XMP is written."""
    file = encoded(smooth(), "GIF")
    if parts:
        pieces = [content[start : start + 255] for start in range(0, len(content), 255)]
        content = b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"
    else:
        content += b"\1" + bytes(range(255, -1, -1)) + b"\0"
    colours = 13 + (3 << ((file[10] & 7) + 1))
    return b"GIF89a" + file[6:colours] + b"\x21\xff\x0b" + application + content + file[colours:]


def tiff_in_planes(
    samples: NDArray[Any], photometric: int, *, order: str = "<", packed: bool = False, alpha: bool = False
) -> bytes:
    """A TIFF file of uint8 or uint16 [H, W, C] whose samples lie in planes, one a strip. alpha: the last one is."""
    height, width, count = samples.shape
    sample = samples.dtype.newbyteorder(order)
    planes = [np.ascontiguousarray(samples[..., index]).astype(sample).tobytes() for index in range(count)]
    planes = [zlib.compress(plane) for plane in planes] if packed else planes
    starts = np.cumsum([8, *map(len, planes)])[:-1].tolist()
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [8 * samples.itemsize] * count,
        259: [8 if packed else 1],
        262: [photometric],
        273: starts,
        277: [count],
        278: [height],
        279: [len(plane) for plane in planes],
        284: [2],
    } | ({338: [2]} if alpha else {})
    return tiff(tags, b"".join(planes), order)


def old_jpeg_tiff(jpeg: bytes, *, inside: bool) -> bytes:
    """A TIFF file of section 22 with this JPEG file of `smooth()`, whose strip lies inside it or is what is coded."""
    height, width, _ = smooth().shape
    scan = jpeg.index(b"\xff\xda")
    scan += 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    place, length = (8, len(jpeg)) if inside else (8 + scan, scan)
    tags = {256: [width], 257: [height], 258: [8, 8, 8], 259: [6], 262: [6], 273: [place], 277: [3], 278: [height]}
    return tiff(tags | {279: [8 + len(jpeg) - place], 284: [1], 513: [8], 514: [length], 530: [2, 2]}, jpeg)


def tiff(tags: dict[int, list[int]], content: bytes, order: str = "<") -> bytes:
    """A TIFF file with these tags, of 32 bits but for those of samples; the content lies from byte 8 on."""
    content += bytes(len(content) % 2)
    directory = 8 + len(content)
    behind = directory + 2 + 12 * len(tags) + 4
    entries = values = b""
    for tag, numbers in tags.items():
        kind, letter = (3, "H") if tag in (258, 530) else (4, "I")
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        entries += struct.pack(order + "HHI", tag, kind, len(numbers))
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", behind + len(values))
            values += packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory)
    return head + content + struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


def box(kind: bytes, content: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def jpeg_2000_with(colours: bytes) -> bytes:
    """A JPEG 2000 file of `pixels()` with these boxes in place of the one that states its colours."""
    file = encoded(pixels(), "JPEG2000")
    start, header = file.index(b"colr") - 4, file.index(b"jp2h") - 4
    length, whole = (int.from_bytes(file[at : at + 4], "big") for at in (start, header))
    grown = struct.pack(">I", whole + len(colours) - length)
    return file[:header] + grown + file[header + 4 : start] + colours + file[start + length :]
