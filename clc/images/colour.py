"""Colours as a file states them → sRGB, which is what CLC takes numbers for.

Stated by (the first that is there): PNG's cICP chunk, an ICC profile, PNG's sRGB chunk, AVIF's and HEIC's nclx box,
PNG's gAMA and cHRM, TIFF's chromaticities, BMP's calibration, EXIF that names Adobe RGB. Numbers of a file that states
nothing, or sRGB, are left as they are, to the bit.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from clc.images.exif import names_adobe_rgb
from clc.images.gif import gif_blocks
from clc.images.icc_profile import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    D65,
    SRGB,
    Chromaticities,
    bmp_calibration,
    bmp_profile,
    cicp_of,
    colour_space,
    links_profile,
    matrix_profile,
    primaries,
    profile_of_codes,
)
from clc.images.isobmff import PictureProperties
from clc.images.metadata import MAX_PROFILE, TIFF_PRIMARIES, TIFF_WHITE, exif_of
from clc.images.tone_mapping import Transfer, tone_mapped

_SAME = 2
"""Levels by which a profile's colours may differ from sRGB's for it to be sRGB: versions of sRGB's profile round so."""
_CALLED_SRGB = 10
"""Likewise for one that calls itself sRGB: cameras' profiles have a gamma of 2.2 in place of its curve."""
_PROBE = 9  # levels of each colour that are compared
_SRGB_CODES = ((1, 13), (1, 1), (1, 6))  # those with BT.709's curve mean its display, which is sRGB's
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_UNSTATED = 2
_IDEAL_INKS = "converted as if inks were ideal"
_SRGB_GAMMA = 0.45, 0.46  # what files of sRGB numbers have in their gAMA chunk
_CHROMATICITY_STEP = 0.002
_MODE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_IMAGE_CMS_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}


@dataclass(frozen=True)
class Converted:
    """image: RGB, the numbers to code. profile: what describes them, if they are not sRGB.

    from_profile: whether they were made sRGB. remarks: what the photo's owner should know.
    """

    image: Image.Image
    profile: bytes | None = None
    from_profile: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stated:
    """profile: an ICC profile; codes: primaries and transfer of an HDR picture instead."""

    profile: bytes | None = None
    hdr: tuple[int, Transfer] | None = None
    remark: str | None = None


def to_srgb(
    image: Image.Image, opened: Image.Image, data: bytes, properties: PictureProperties, *, keep_profile: bool
) -> Converted:
    """An upright image of mode L, RGB, CMYK or LAB, 8 bits a sample, in sRGB: relative colorimetric, with black-point
    compensation (LittleCMS). HDR pictures are tone-mapped.

    opened: the image as it came from the file; data: the file.
    keep_profile: leave RGB numbers as they are, and give the profile that describes them.
    """
    if opened.format == "PNG" and (codes := _png_codes(data)) is not None and not codes.full_range:
        image = image.point([_full_range(level) for level in range(256)] * len(image.getbands()))
    stated = _stated(opened, data, properties)
    remarks: tuple[str, ...] = () if stated.remark is None else (stated.remark,)
    if stated.hdr is not None:
        return _tone_mapped(image, *stated.hdr, keep_profile)
    if stated.profile is None:
        if image.mode == "CMYK":
            remarks += (f"it has CMYK without a profile: {_IDEAL_INKS}",)
        return Converted(image.convert("RGB"), remarks=remarks)
    try:
        return _converted(image, stated.profile, keep_profile, remarks)
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        instead = _IDEAL_INKS if image.mode == "CMYK" else "numbers are taken as they are"
        broken = f"its colour profile cannot be used, {instead} ({reason})"
        return Converted(image.convert("RGB"), remarks=(*remarks, broken))


def _converted(image: Image.Image, profile: bytes, keep: bool, remarks: tuple[str, ...]) -> Converted:
    space = colour_space(profile)
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if space != _MODE_SPACES[image.mode]:
        raise ValueError(f"it is of {space}, the numbers are {image.mode}")
    if _is_srgb(profile, space):
        return Converted(image.convert("RGB"), remarks=remarks)
    if keep:
        if space == "RGB" and len(profile) <= MAX_PROFILE:
            return Converted(image, profile=profile, remarks=remarks)
        remarks += (f"its {space} profile cannot be kept: converted to sRGB",)
    transform = _transform(profile, space)
    converted = transform.apply(image)
    return Converted(converted, from_profile=True, remarks=remarks)


def _tone_mapped(image: Image.Image, code: int, transfer: Transfer, keep: bool) -> Converted:
    remarks = [f"it is HDR ({transfer.name}): tone-mapped to sRGB"]
    if keep:
        remarks.append("no profile can be kept of an HDR picture")
    try:
        colours = primaries(code)
    except ValueError:
        colours = primaries(9)  # BT.2020, which both curves were made for
    pixels = tone_mapped(np.asarray(image.convert("RGB")), transfer, colours)
    return Converted(Image.fromarray(pixels), from_profile=True, remarks=tuple(remarks))


def _stated(image: Image.Image, data: bytes, properties: PictureProperties) -> _Stated:
    if image.info.get("icc_profile") == b"":
        return _Stated()  # so Pillow is told that there is nothing to state
    chunk = _png_codes(data) if image.format == "PNG" else None
    codes = None if chunk is None else (chunk.primaries, chunk.transfer)
    profile = image.info.get("icc_profile") or properties.profile or bmp_profile(data)
    if image.format == "GIF":
        profile = profile or gif_blocks(data).profile
    if profile and (codes is None or not _are_known(codes)):
        transfer = cicp_of(profile)
        if transfer is not None and transfer[1] in tuple(Transfer):
            return _Stated(hdr=(transfer[0], Transfer(transfer[1])))
        return _Stated(profile)
    broken = "icc_profile" in image.info and profile is None
    remark = "its colour profile is damaged, numbers are taken as they are" if broken else None
    if codes is None and not broken and "srgb" not in image.info:
        codes = properties.codes
    if codes is not None:
        return _of_codes(codes)
    if broken or "srgb" in image.info:
        return _Stated(remark=remark)
    try:
        profile = _png_gamma_profile(image)
    except ValueError as error:
        return _Stated(remark=f"its gAMA or cHRM chunk cannot be used, numbers are taken as they are ({error})")
    try:
        profile = profile or _tiff_profile(image) or bmp_calibration(data)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        return _Stated(remark=f"its chromaticities cannot be used, numbers are taken as they are ({error})")
    if profile is None and links_profile(data):
        return _Stated(remark="its colour profile is in another file, numbers are taken as they are")
    if profile is None and image.mode != "CMYK" and names_adobe_rgb(exif_of(image) or b""):
        profile = matrix_profile(ADOBE_RGB, (ADOBE_GAMMA,))
    if profile is None and (space := properties.unknown_space) is not None:
        return _Stated(remark=f"its colours are not known, numbers are taken as they are (JPEG 2000 space {space})")
    return _Stated(profile)


def _of_codes(codes: tuple[int, int]) -> _Stated:
    if codes[1] in tuple(Transfer):
        return _Stated(hdr=(codes[0], Transfer(codes[1])))
    code, transfer = codes
    if transfer == _UNSTATED or (transfer in (1, 6, 14, 15) and code != 1):
        transfer = 13  # video's curves are made for displays like sRGB's
    if code == _UNSTATED:
        code = 1
    if (code, transfer) in _SRGB_CODES:
        return _Stated()
    try:
        return _Stated(profile_of_codes(code, transfer))
    except ValueError as error:
        return _Stated(remark=f"its colours are not known, numbers are taken as they are ({error})")


def _are_known(codes: tuple[int, int]) -> bool:
    """Whether codes say more than a profile beside them does."""
    if codes[1] in tuple(Transfer):
        return True
    try:
        profile_of_codes(*codes)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _PngCodes:
    primaries: int
    transfer: int
    full_range: bool


def _full_range(level: int) -> int:
    """Of video's range, where 16 is black and 235 white (ITU-T H.273, 8.3)."""
    return max(0, min(255, round((level - 16) * 255 / 219)))


def _png_codes(data: bytes) -> _PngCodes | None:
    """What a PNG file's cICP chunk holds (PNG, third edition, 11.3.2.6)."""
    position = 8
    while position + 12 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if kind == b"cICP" and length == 4:
            return _PngCodes(data[position + 8], data[position + 9], full_range=data[position + 11] != 0)
        if kind in (b"IDAT", b"IEND"):
            return None
        position += 12 + length
    return None


def _png_gamma_profile(image: Image.Image) -> bytes | None:
    """Of gAMA and cHRM chunks; None if they are not there or are sRGB's. Raises ValueError for impossible ones."""
    if image.format != "PNG":
        return None
    gamma, numbers = image.info.get("gamma"), image.info.get("chromaticity")
    colours = SRGB
    if numbers is not None:
        colours = _chromaticities(numbers)
    if gamma is None or _SRGB_GAMMA[0] <= gamma <= _SRGB_GAMMA[1]:
        return None if colours is SRGB else matrix_profile(colours)
    if not 0.1 <= gamma <= 10:
        raise ValueError(f"gamma {gamma:g}")
    return matrix_profile(colours, (1 / gamma,))


def _tiff_profile(image: Image.Image) -> bytes | None:
    """Of a TIFF file's chromaticities (6.0, section 20), with sRGB's curve; None without, or if they are sRGB's."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if TIFF_PRIMARIES not in tags:
        return None
    colours = _chromaticities((*tags.get(TIFF_WHITE, D65), *tags[TIFF_PRIMARIES]))
    return None if colours is SRGB else matrix_profile(colours)


def _chromaticities(numbers: Sequence[float]) -> Chromaticities:
    """(x, y) of white, red, green and blue, one after the other; `SRGB` itself if they are its."""
    pairs = [(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(pairs) != 4:
        raise ValueError("it is not of four colours")
    known = np.array([SRGB.white, SRGB.red, SRGB.green, SRGB.blue])
    return SRGB if np.abs(np.array(pairs) - known).max() <= _CHROMATICITY_STEP else Chromaticities(*pairs)


@lru_cache(maxsize=16)
def _transform(profile: bytes, space: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        _IMAGE_CMS_SPACES[space],
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # What LittleCMS makes faster of grey is far off in the shadows.
        _FLAGS | (ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.NONE),
    )


@lru_cache(maxsize=64)
def _is_srgb(profile: bytes, space: str) -> bool:
    """Whether a profile leaves numbers as they are, but for rounding; more or less, if it calls itself sRGB."""
    if space not in ("RGB", "GRAY"):
        return False
    levels = np.linspace(0, 255, _PROBE).round().astype(np.uint8)
    if space == "GRAY":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        probe = Image.fromarray(np.concatenate([grid, greys], axis=1))
    shown = np.asarray(_transform(profile, space).apply(probe)).astype(int)
    difference = int(np.abs(shown - np.asarray(probe.convert("RGB")).astype(int)).max())
    if _SAME < difference <= _CALLED_SRGB:
        return "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    return difference <= _SAME
