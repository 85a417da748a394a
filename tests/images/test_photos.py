"""What happens to each property of a photo: the rows of the table in docs/photos.md."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from clc.errors import ImageError
from clc.images.decode import DecodedPhoto, decode, decode_photo
from clc.images.encode import PictureFormat, encode
from clc.images.forms import photo_from
from clc.images.icc_profile import ADOBE_GAMMA, ADOBE_RGB, SRGB, matrix_profile, primaries, profile_of_codes
from clc.images.isobmff import PictureProperties, picture_properties
from clc.images.losses import picture_losses
from clc.images.metadata import Carry, Metadata
from clc.images.tone_mapping import Transfer, tone_mapped
from tests.images.photo_files import (
    ADOBE,
    DISPLAY_P3,
    LIGHT_OF_CMYK,
    POSITION,
    WIDE,
    bmp_with,
    box,
    calibrated_bmp,
    camera_srgb,
    chunk,
    cmyk_profile,
    encoded,
    exif,
    exif_with_position_at,
    exif_with_thumbnail,
    gif_with,
    grey_profile,
    jpeg_with,
    pixels,
    png,
    smooth,
    srgb_profile,
    webp_with,
    xmp,
)

SRGB_PROFILES = {"LittleCMS": srgb_profile(), "matrix": matrix_profile(SRGB), "camera": camera_srgb()}


def read(data: bytes, **carry: bool) -> DecodedPhoto:
    return decode_photo(data, name="photo", carry=Carry(**carry))


def to_srgb(numbers: NDArray[np.uint8], colours: str) -> NDArray[np.float64]:
    """By the formulas of the colour spaces, without LittleCMS."""
    gamma = {"Adobe RGB": 563 / 256, "ProPhoto": 1.8}.get(colours)
    value = numbers / 255
    linear = (
        np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) if gamma is None else value**gamma
    )
    matrices = {  # to linear sRGB; ProPhoto's, from D50, by Bradford
        "Adobe RGB": [[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]],
        "Display P3": [[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09827]],
        "ProPhoto": [[2.03438, -0.72763, -0.30675], [-0.22882, 1.23175, -0.00292], [-0.00856, -0.15327, 1.16184]],
    }
    shown = np.clip(linear @ np.array(matrices[colours]).T, 0, 1)
    return 255 * np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)


class TestProfile:
    @pytest.mark.parametrize("colours", WIDE)
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_a_wide_profile_is_converted_to_srgb(self, colours: str, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        photo = read(encoded(pixels(), kind, icc_profile=WIDE[colours], **options))
        assert np.abs(photo.pixels - to_srgb(pixels(), colours)).max() < 3
        assert np.abs(photo.pixels - to_srgb(pixels(), colours)).mean() < 0.5
        assert (photo.metadata.profile, photo.remarks) == (None, ())

    @pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
    def test_a_lossy_file_is_converted_too(self, kind: str) -> None:
        tagged = decode(encoded(smooth(), kind, quality=95, icc_profile=ADOBE), name="tagged")
        plain = decode(encoded(smooth(), kind, quality=95), name="plain")
        assert np.abs(tagged - to_srgb(plain, "Adobe RGB")).max() < 3

    @pytest.mark.parametrize("profile", SRGB_PROFILES.values(), ids=SRGB_PROFILES)
    def test_an_srgb_profile_changes_no_bit(self, profile: bytes) -> None:
        photo = read(encoded(pixels(), "PNG", icc_profile=profile))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert (photo.metadata.profile, photo.remarks) == (None, ())

    def test_a_gamma_of_2_2_that_is_not_called_srgb_is_converted(self) -> None:
        assert (decode(encoded(pixels(), "PNG", icc_profile=matrix_profile(SRGB, (2.2,))), name="p") != pixels()).any()

    def test_keep_profile_leaves_the_numbers_and_gives_their_profile(self) -> None:
        photo = read(encoded(pixels(), "PNG", icc_profile=DISPLAY_P3), keep_profile=True)
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.metadata.profile == DISPLAY_P3

    def test_strip_does_not_take_a_kept_profile(self) -> None:
        """Without it the numbers would mean something else."""
        photo = read(encoded(pixels(), "PNG", icc_profile=DISPLAY_P3, exif=exif()), keep_profile=True, strip=True)
        assert (photo.metadata.profile, photo.metadata.exif) == (DISPLAY_P3, None)

    @pytest.mark.parametrize(
        "profile",
        [
            b"nonsense" * 30,
            DISPLAY_P3[:300],
            DISPLAY_P3[:16] + b"GRAY" + DISPLAY_P3[20:],
            DISPLAY_P3[:12] + b"link" + DISPLAY_P3[16:],
        ],
        ids=["nonsense", "cut", "of another space", "device link"],
    )
    def test_a_broken_profile_is_one_remark_and_the_numbers_stay(self, profile: bytes) -> None:
        photo = read(encoded(pixels(), "PNG", icc_profile=profile))
        np.testing.assert_array_equal(photo.pixels, pixels())
        (remark,) = photo.remarks
        assert "profile cannot be used, numbers are taken as they are" in remark

    def test_a_profile_that_cannot_be_unpacked_is_one_remark(self) -> None:
        photo = read(png(pixels(), iCCP=b"name\0\0not zlib"))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.remarks == ("its colour profile is damaged, numbers are taken as they are",)

    @pytest.mark.parametrize("numbers", [[(1, 2)], [(2, 2)], [(1, 2), (2, 2), (2, 2)], [(1, 1), (1, 1)]], ids=str)
    @pytest.mark.parametrize("cut", [0, 2])
    def test_a_profile_of_jpeg_that_is_not_whole_is_one_remark(self, numbers: list[tuple[int, int]], cut: int) -> None:
        """The picture is whole, with or without its end marker."""
        half = len(DISPLAY_P3) // 2
        parts = [b"ICC_PROFILE\0" + bytes(number) + DISPLAY_P3[half:] for number in numbers]
        file = jpeg_with(*((0xE2, part) for part in parts))
        photo = read(file[: len(file) - cut])
        np.testing.assert_array_equal(photo.pixels, decode(encoded(smooth(), "JPEG"), name="plain"))
        damaged = "its colour profile is damaged, numbers are taken as they are"
        assert photo.remarks == (("the JPEG file lacks its end marker",) if cut else ()) + (damaged,)

    def test_segments_of_a_profile_may_come_in_any_order(self) -> None:
        parts = [(0xE2, b"ICC_PROFILE\0\2\2" + ADOBE[300:]), (0xE2, b"ICC_PROFILE\0\1\2" + ADOBE[:300])]
        whole = decode(jpeg_with((0xE2, b"ICC_PROFILE\0\1\1" + ADOBE)), name="whole")
        np.testing.assert_array_equal(decode(jpeg_with(*parts), name="parts"), whole)

    def test_grey_with_a_profile_is_converted(self) -> None:
        grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
        shown = decode(encoded(grey, "PNG", icc_profile=grey_profile(1.0)), name="grey")
        expected = 255 * (1.055 * (grey / 255) ** (1 / 2.4) - 0.055)
        assert np.abs(shown[grey > 1] - expected[grey > 1][:, None]).max() < 2
        assert (shown == shown[..., :1]).all()

    def test_grey_alpha_with_a_grey_profile_is_converted(self) -> None:
        photo = read(encoded(Image.new("LA", (4, 4), (100, 255)), "PNG", icc_profile=grey_profile(1.0)))
        assert photo.pixels[0, 0, 0] > 160
        assert photo.remarks == ()

    def test_a_grey_profile_cannot_be_kept(self) -> None:
        photo = read(encoded(Image.new("L", (4, 4), 99), "PNG", icc_profile=grey_profile(1.0)), keep_profile=True)
        assert photo.metadata.profile is None
        assert photo.remarks == ("its GRAY profile cannot be kept: converted to sRGB",)

    def test_lab_with_a_profile_is_converted(self) -> None:
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(
            Image.fromarray(smooth()), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
        assert image is not None
        photo = read(encoded(image, "TIFF"))
        assert np.abs(photo.pixels.astype(int) - smooth()).mean() < 3
        assert photo.remarks == ()

    def test_cmyk_without_a_profile_is_a_remark(self) -> None:
        (remark,) = read(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF")).remarks
        assert "CMYK without a profile" in remark

    def test_cmyk_with_a_profile_is_converted(self) -> None:
        photo = read(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", icc_profile=cmyk_profile()))
        assert photo.remarks == ()
        np.testing.assert_allclose(photo.pixels[0, 0], LIGHT_OF_CMYK, atol=3)
        assert photo.metadata.profile is None

    def test_a_profile_of_jpeg_2000_is_found(self) -> None:
        file = encoded(pixels(), "JPEG2000")
        colour = file.index(b"colr") - 4
        length = int.from_bytes(file[colour : colour + 4], "big")
        box = struct.pack(">I", 11 + len(ADOBE)) + b"colr\2\0\0" + ADOBE
        header = file.index(b"jp2h") - 4
        grown = int.from_bytes(file[header : header + 4], "big") + len(box) - length
        file = file[:header] + struct.pack(">I", grown) + file[header + 4 : colour] + box + file[colour + length :]
        assert np.abs(decode(file, name="jp2") - to_srgb(pixels(), "Adobe RGB")).max() < 3

    def test_a_profile_of_bmp_is_found(self) -> None:
        plain = read(encoded(smooth(), "PNG", icc_profile=DISPLAY_P3))
        np.testing.assert_array_equal(read(bmp_with(DISPLAY_P3, smooth())).pixels, plain.pixels)
        assert read(bmp_with(DISPLAY_P3, smooth()), keep_profile=True).metadata.profile == DISPLAY_P3

    def test_a_profile_of_gif_is_found(self) -> None:
        plain = decode(encoded(smooth(), "GIF"), name="plain")
        tagged = read(gif_with(b"ICCRGBG1012", ADOBE))
        assert np.abs(tagged.pixels - to_srgb(plain, "Adobe RGB")).max() < 3
        assert tagged.remarks == ()

    def test_a_profile_of_bmp_in_another_file_is_one_remark(self) -> None:
        photo = read(bmp_with(DISPLAY_P3, smooth()).replace(b"DEBM", b"KNIL"))
        np.testing.assert_array_equal(photo.pixels, smooth())
        assert photo.remarks == ("its colour profile is in another file, numbers are taken as they are",)


class TestStatedColours:
    def test_cicp_is_converted(self) -> None:
        assert (
            np.abs(decode(png(pixels(), cICP=bytes([12, 13, 0, 1])), name="p3") - to_srgb(pixels(), "Display P3")).max()
            < 3
        )

    def test_cicp_of_srgb_changes_no_bit(self) -> None:
        np.testing.assert_array_equal(decode(png(pixels(), cICP=bytes([1, 13, 0, 1])), name="srgb"), pixels())

    def test_gamma_and_chromaticities_are_converted(self) -> None:
        colours = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
        shown = decode(png(pixels(), cHRM=colours, gAMA=struct.pack(">I", 45470)), name="adobe")
        linear = decode(png(pixels(), gAMA=struct.pack(">I", 100_000)), name="linear")
        assert np.abs(shown.astype(int) - pixels()).max() > 50
        expected = 255 * np.where(
            pixels() / 255 <= 0.0031308, 12.92 * pixels() / 255, 1.055 * (pixels() / 255) ** (1 / 2.4) - 0.055
        )
        assert np.abs(linear - expected).max() < 2

    def test_the_gamma_of_srgb_files_changes_no_bit(self) -> None:
        np.testing.assert_array_equal(decode(png(pixels(), gAMA=struct.pack(">I", 45455)), name="usual"), pixels())

    def test_the_narrow_range_of_cicp_becomes_the_full_one(self) -> None:
        levels = np.array([0, 16, 126, 235, 255], np.uint8)
        grey = np.repeat(np.tile(levels, (4, 1))[..., None], 3, axis=2)
        photo = read(png(grey, cICP=bytes([1, 13, 0, 0])), keep_profile=True)
        assert photo.pixels[0, :, 1].tolist() == [0, 0, 128, 255, 255]
        np.testing.assert_array_equal(decode(png(grey, cICP=bytes([1, 13, 0, 1])), name="full"), grey)

    @pytest.mark.parametrize("codes", [(2, 2), (250, 13), (1, 250)])
    def test_cicp_that_says_nothing_leaves_it_to_the_profile(self, codes: tuple[int, int]) -> None:
        file = encoded(pixels(), "PNG", icc_profile=ADOBE)
        with_codes = file[:33] + chunk(b"cICP", bytes([*codes, 0, 1])) + file[33:]
        np.testing.assert_array_equal(decode(with_codes, name="both"), decode(file, name="profile"))

    def test_chromaticities_of_tiff_are_converted(self) -> None:
        p3, srgb = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
        photo = read(encoded(pixels(), "TIFF", tiffinfo={318: (0.3127, 0.329), 319: p3}))
        assert np.abs(photo.pixels - to_srgb(pixels(), "Display P3")).max() < 3
        assert photo.remarks == ()
        same = read(encoded(pixels(), "TIFF", tiffinfo={318: (0.3127, 0.329), 319: srgb}))
        np.testing.assert_array_equal(same.pixels, pixels())
        assert same.remarks == ()
        (remark,) = read(encoded(pixels(), "TIFF", tiffinfo={319: (0.0,) * 6})).remarks
        assert "chromaticities cannot be used" in remark

    def test_the_calibration_of_bmp_is_converted(self) -> None:
        shown = decode(calibrated_bmp(ADOBE_RGB, ADOBE_GAMMA, smooth()), name="calibrated")
        assert np.abs(shown - to_srgb(smooth(), "Adobe RGB")).max() < 3

    def test_an_empty_calibration_of_bmp_says_nothing(self) -> None:
        photo = read(bmp_with(b"", smooth()).replace(b"DEBM", bytes(4)))
        np.testing.assert_array_equal(photo.pixels, smooth())
        assert photo.remarks == ()

    def test_an_srgb_chunk_goes_before_gamma(self) -> None:
        np.testing.assert_array_equal(
            decode(png(pixels(), sRGB=b"\0", gAMA=struct.pack(">I", 99_999)), name="p"), pixels()
        )

    def test_impossible_chromaticities_are_one_remark(self) -> None:
        photo = read(png(pixels(), cHRM=bytes(32)))
        np.testing.assert_array_equal(photo.pixels, pixels())
        (remark,) = photo.remarks
        assert "gAMA or cHRM chunk cannot be used" in remark

    def test_keep_profile_makes_a_profile_of_chunks(self) -> None:
        photo = read(png(pixels(), cICP=bytes([12, 13, 0, 1])), keep_profile=True)
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.metadata.profile == profile_of_codes(12, 13)

    def test_avif_says_its_colours_without_a_profile(self) -> None:
        file = encoded(smooth(), "AVIF", quality=95)
        at = file.index(b"nclx") + 4
        p3 = file[:at] + struct.pack(">HH", 12, 13) + file[at + 4 :]
        plain = decode(file, name="plain")
        assert np.abs(decode(p3, name="p3") - to_srgb(plain, "Display P3")).max() < 4

    def test_exif_that_names_adobe_rgb_is_enough(self) -> None:
        photo = read(encoded(pixels(), "PNG", exif=exif(interoperability=b"R03")))
        assert np.abs(photo.pixels - to_srgb(pixels(), "Adobe RGB")).max() < 3
        after = Image.Exif()
        after.load(b"Exif\0\0" + (photo.metadata.exif or b""))
        assert (after.get_ifd(0x8769)[0xA001], after.get_ifd(0xA005)[1]) == (1, "R98")

    @pytest.mark.parametrize("transfer", Transfer)
    def test_hdr_is_tone_mapped_and_said(self, transfer: Transfer) -> None:
        photo = read(png(pixels(), cICP=bytes([9, transfer, 0, 1])))
        np.testing.assert_array_equal(photo.pixels, tone_mapped(pixels(), transfer, primaries(9)))
        assert photo.remarks == (f"it is HDR ({transfer.name}): tone-mapped to sRGB",)

    @pytest.mark.parametrize("transfer", Transfer)
    def test_tone_mapping_keeps_order_black_and_grey(self, transfer: Transfer) -> None:
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        shown = tone_mapped(ramp, transfer, primaries(9))[0].astype(int)
        assert shown[0].tolist() == [0, 0, 0]
        assert shown[255].min() >= 253
        assert (np.diff(shown[:, 1]) >= 0).all()
        assert np.ptp(shown, axis=1).max() <= 1


class TestLosses:
    def test_untagged_8_bit_pixels_stay_to_the_bit_and_nothing_is_said(self) -> None:
        photo = read(encoded(pixels(), "PNG"))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert (photo.metadata, photo.remarks) == (Metadata(), ())

    def test_transparency_is_said(self) -> None:
        assert read(encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "PNG")).remarks == ("transparency became white",)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
    def test_of_a_transparency_that_is_nowhere_nothing_is_said(self, kind: str) -> None:
        assert read(encoded(Image.fromarray(smooth()).convert("RGBA"), kind)).remarks == ()

    def test_a_transparent_level_of_16_bit_grey_is_said(self) -> None:
        file = encoded(Image.fromarray(np.full((4, 4), 30_000, dtype=np.uint16)), "PNG", transparency=30_000)
        assert "its transparent level is left out" in read(file).remarks

    def test_a_transparent_colour_of_16_bits_is_said(self) -> None:
        head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        level = struct.pack(">3H", 30_000, 30_000, 30_000)
        file = head + chunk(b"tRNS", level) + chunk(b"IDAT", zlib.compress(b"\0" + 2 * level)) + chunk(b"IEND", b"")
        assert "its transparent level is left out" in read(file).remarks

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_a_transparent_level_of_grey_is_found_at_every_depth(self, bits: int) -> None:
        head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0))
        row = b"\0" + bytes([0, 1, 0, 1, 1, 1, 0, 0]) if bits == 8 else b"\0" + bytes([0b00011011]) * bits
        file = head + chunk(b"tRNS", b"\0\1") + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
        photo = read(file)
        samples = np.unpackbits(np.frombuffer(row[1:], np.uint8)).reshape(8, bits) @ (1 << np.arange(bits)[::-1])
        expected = np.where(samples == 1, 255, samples * 255 // (2**bits - 1))
        assert photo.pixels[0, :, 0].tolist() == expected.tolist()
        assert photo.remarks == ("transparency became white",)

    def test_further_samples_of_tiff_are_said(self) -> None:
        file = encoded(Image.new("RGBA", (4, 4), (10, 20, 30, 40)), "TIFF")
        unspecified = struct.pack("<HHIHH", 338, 3, 1, 2, 0)
        assert unspecified in file
        photo = read(file.replace(unspecified, struct.pack("<HHIHH", 338, 3, 1, 0, 0)))
        assert photo.pixels[0, 0].tolist() == [10, 20, 30]
        assert photo.remarks == ("further samples of each pixel are left out",)

    def test_signed_samples_are_refused_at_every_depth(self) -> None:
        file = encoded(Image.new("L", (4, 4), 200), "TIFF", tiffinfo={339: 2})
        with pytest.raises(ImageError, match="signed integer samples have no stated range"):
            decode(file, name="signed")

    @pytest.mark.parametrize("mode", ["La", "RGBa"])
    def test_colours_that_alpha_is_multiplied_into_are_read(self, mode: str) -> None:
        level = (100, 100) if mode == "La" else (100, 100, 100, 100)
        image = Image.new("LA" if mode == "La" else "RGBA", (4, 4), level).convert(mode)
        assert np.abs(photo_from(image).pixels.astype(int) - 194).max() <= 2

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
    def test_of_an_opened_image_the_frame_that_it_shows_is_taken(self, kind: str) -> None:
        frames = [Image.new("RGB", (8, 8), name) for name in ("red", "blue", "lime")]
        with Image.open(io.BytesIO(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))) as image:
            image.seek(1)
            photo = photo_from(image)
            assert np.abs(photo.pixels[0, 0].astype(int) - (0, 0, 255)).max() < 12
            assert photo.remarks == ("only one of its pictures is used",)
            assert image.tell() == 1

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_16_bits_are_said(self, kind: str) -> None:
        grey = Image.fromarray(np.full((4, 4), 30_000, dtype=np.uint16))
        assert read(encoded(grey, kind)).remarks == ("16 bits a sample became 8",)

    def test_16_bits_of_a_colour_ppm_are_said(self) -> None:
        file = b"P6 2 1 65535\n" + bytes([128, 0] * 6)
        assert read(file).remarks == ("16 bits a sample became 8",)

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "MPO"])
    def test_further_frames_are_said(self, kind: str) -> None:
        frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1].copy())]
        photo = read(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert "only the first of its pictures is used" in photo.remarks
        assert np.abs(photo.pixels.astype(int) - smooth()).mean() < 12

    def test_a_gain_map_is_said_and_its_xmp_left_out(self) -> None:
        described = xmp(attributes=' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"')
        photo = read(encoded(smooth(), "JPEG", xmp=described))
        assert photo.remarks == ("its HDR gain map is left out", "its XMP is left out: it describes a gain map")
        assert photo.metadata.xmp is None

    def test_a_motion_photo_is_said(self) -> None:
        attributes = ' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"'
        file = encoded(smooth(), "JPEG", xmp=xmp(attributes=attributes)) + box(b"ftyp", b"mp42") + bytes(99)
        assert read(file).remarks == ("its video is left out",)

    def test_auxiliary_pictures_are_said(self) -> None:
        def heif(auxiliary: bytes) -> bytes:
            properties = box(b"iprp", box(b"ipco", box(b"auxC", bytes(4) + auxiliary + b"\0")))
            return box(b"ftyp", b"heic\0\0\0\0heic") + box(b"meta", bytes(4) + properties)

        for name in (b"urn:mpeg:hevc:2015:auxid:2", b"urn:com:apple:photo:2018:aux:portraiteffectsmatte"):
            properties = picture_properties(heif(name))
            said = tuple(picture_losses(Image.new("RGB", (4, 4)), b"", properties))
            assert said == ("its auxiliary pictures (such as depth) are left out",)
        for name in (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"):
            assert picture_properties(heif(name)) == PictureProperties()

    @pytest.mark.parametrize(
        "file",
        [jpeg_with((0xEB, b"JP\0\1\0\0\0\1jumb")), png(smooth(), caBX=b"jumb"), webp_with(b"C2PA", b"jumb")],
        ids=["JPEG", "PNG", "WebP"],
    )
    def test_content_credentials_are_said(self, file: bytes) -> None:
        assert read(file).remarks == ("its content credentials (C2PA) are left out",)
        assert read(file, strip=True).remarks == ()
        assert decode_photo(file, name="photo").remarks == ()

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            (jpeg_with((0xE5, b"?"), (0xE2, b"FPXR\0")), "segments (APP2, APP5)"),
            (png(smooth(), abCd=b"?"), "chunks (abCd)"),
            (webp_with(b"abCd", b"??"), "chunks (abCd)"),
            (gif_with(b"PROGRAM 1.0", b"??"), "blocks (PROGRAM 1.0)"),
            (encoded(smooth(), "JPEG2000") + box(b"uuid", bytes(16)), "boxes (uuid)"),
            (encoded(smooth(), "AVIF") + box(b"mpvd", bytes(16)), "boxes (mpvd)"),
            (encoded(smooth(), "TIFF", tiffinfo={269: "a scan"}), "TIFF tags (269)"),
        ],
        ids=["JPEG", "PNG", "WebP", "GIF", "JPEG 2000", "AVIF", "TIFF"],
    )
    def test_blocks_of_single_programs_are_said(self, file: bytes, said: str) -> None:
        assert read(file).remarks == (f"its further {said} are left out",)

    def test_the_map_and_the_layers_of_a_tiff_file_are_said(self) -> None:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[33550], tags[37724] = (1.0, 1.0, 0.0), b"layers"
        tags.tagtype |= {33550: 12, 37724: 7}
        said = ("its place on a map (GeoTIFF) is left out", "its layers are left out")
        assert read(encoded(smooth(), "TIFF", tiffinfo=tags)).remarks == said

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
    def test_data_behind_a_picture_is_said(self, kind: str) -> None:
        file = encoded(smooth(), kind)
        assert read(file + b"SEFT" * 9).remarks == ("data behind its picture is left out",)
        assert read(file + bytes(9)).remarks == ()

    def test_comments_are_said(self) -> None:
        assert read(encoded(smooth(), "JPEG", comment=b"by hand")).remarks == (
            "its comments (IPTC, comment) are left out",
        )

    def test_a_source_of_photos_says_nothing_of_comments(self) -> None:
        assert decode_photo(encoded(smooth(), "JPEG", comment=b"by hand"), name="photo").remarks == ()


class TestMetadata:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
    def test_exif_is_carried_and_its_orientation_reset(self, kind: str) -> None:
        photo = read(encoded(smooth(), kind, exif=exif(orientation=6)))
        assert photo.pixels.shape == (128, 96, 3)
        after = Image.Exif()
        after.load(b"Exif\0\0" + (photo.metadata.exif or b""))
        assert (after[0x010F], after.get(0x0112, 1)) == ("Lantern", 1)
        assert after.get_ifd(0x8769)[0x927C] == b"maker note"
        assert (after.get_ifd(0x8769)[0xA002], after.get_ifd(0x8769)[0xA003]) == (96, 128)

    def test_orientation_is_reset_in_xmp_too(self) -> None:
        photo = read(encoded(smooth(), "JPEG", xmp=xmp(attributes=' tiff:Orientation="6"')))
        assert b'tiff:Orientation="1"' in (photo.metadata.xmp or b"")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
    def test_xmp_is_carried(self, kind: str) -> None:
        if kind == "PNG":
            file = png(smooth(), iTXt=b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())
        elif kind == "TIFF":
            file = encoded(smooth(), kind, tiffinfo={700: xmp()})
        else:
            file = encoded(smooth(), kind, xmp=xmp())
        assert read(file).metadata.xmp == xmp()

    def test_xmp_of_gif_is_carried(self) -> None:
        photo = read(gif_with(b"XMP DataXMP", xmp(), parts=False))
        assert (photo.metadata.xmp, photo.remarks) == (xmp(), ())

    def test_extended_xmp_is_said(self) -> None:
        main = xmp(attributes=' xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"')
        photo = read(encoded(smooth(), "JPEG", xmp=main))
        assert photo.metadata.xmp == main
        assert photo.remarks == ("the further part of its XMP is left out",)

    def test_a_thumbnail_is_not_carried(self) -> None:
        photo = read(encoded(smooth(), "JPEG", exif=exif_with_thumbnail(b"THUMBNAIL" * 500)))
        assert photo.metadata.exif is not None
        assert b"THUMB" not in photo.metadata.exif
        assert len(photo.metadata.exif) < 100
        assert photo.remarks == ()

    def test_dots_per_inch_are_those_of_exif(self) -> None:
        made = Image.Exif()
        made[0x011A], made[0x0128] = 600.0, 2
        photo = read(encoded(smooth(), "JPEG", dpi=(300, 300), exif=made))
        assert photo.remarks == ()
        with Image.open(io.BytesIO(encode(smooth(), PictureFormat.JPEG, name="p", metadata=photo.metadata))) as image:
            assert image.getexif()[0x011A] == 600

    def test_strip_carries_nothing(self) -> None:
        photo = read(encoded(smooth(), "JPEG", exif=exif(), xmp=xmp(), comment=b"x"), strip=True)
        assert (photo.metadata, photo.remarks) == (Metadata(), ())

    def test_strip_gps_takes_the_position_alone(self) -> None:
        position = ' exif:GPSLatitude="52,31.2N" drone-dji:GpsLongitude="13.4"'
        element = "<exif:GPSLongitude>13,24.3E</exif:GPSLongitude><exif:GPSAltitude/>"
        file = encoded(smooth(), "JPEG", exif=exif(gps=True), xmp=xmp(element, position))
        kept, stripped = read(file).metadata, read(file, strip_gps=True).metadata
        before, after = Image.Exif(), Image.Exif()
        before.load(b"Exif\0\0" + (kept.exif or b""))
        after.load(b"Exif\0\0" + (stripped.exif or b""))
        assert before.get_ifd(0x8825)[2] == (52.0, 31.0, 12.5)
        assert 0x8825 not in after
        assert (after[0x010F], after.get_ifd(0x8769)[0x9003]) == ("Lantern", "2024:05:06 07:08:09")
        assert struct.pack("<II", 1725, 100) not in (stripped.exif or b"")
        assert stripped.xmp == xmp()

    @pytest.mark.parametrize("directory", [0x8769, 0])
    def test_strip_gps_takes_a_position_from_wherever_it_is(self, directory: int) -> None:
        file = encoded(smooth(), "JPEG", exif=exif_with_position_at(directory))
        kept, stripped = read(file).metadata.exif, read(file, strip_gps=True).metadata.exif
        assert kept is not None
        assert POSITION[-24:] in kept
        assert stripped is not None
        assert POSITION[-24:] not in stripped
        assert struct.pack("<H", 0x8825) not in stripped

    @pytest.mark.parametrize(
        "attributes",
        [' geo:lat="52.5" geo:long="13.4"', ' dji:Latitude="5" dji:Longitude="1" dji:AbsoluteAltitude="+30"'],
    )
    def test_strip_gps_takes_a_position_of_other_names(self, attributes: str) -> None:
        element = "<geo:lat>52.5</geo:lat><dji:RelativeAltitude>3</dji:RelativeAltitude><tiff:Make>latitude</tiff:Make>"
        stripped = read(encoded(smooth(), "JPEG", xmp=xmp(attributes=attributes)), strip_gps=True)
        assert (stripped.metadata.xmp, stripped.remarks) == (xmp(), ())
        assert read(encoded(smooth(), "JPEG", xmp=xmp(element)), strip_gps=True).metadata.xmp is None

    @pytest.mark.parametrize("type", [3, 4, 5, 8, 9, 11])
    @pytest.mark.parametrize("order", "<>")
    def test_an_orientation_of_any_type_is_reset(self, order: str, type: int) -> None:
        """Else the decoded picture would be turned a second time."""
        value = struct.pack(order + {3: "H", 4: "I", 5: "I", 8: "h", 9: "i", 11: "f"}[type], 26 if type == 5 else 6)
        entry = struct.pack(order + "HHI", 0x0112, type, 1) + value.ljust(4, b"\0")
        start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
        file = encoded(smooth(), "PNG", exif=start + entry + bytes(4) + struct.pack(order + "II", 6, 1))
        photo = read(file)
        assert photo.pixels.shape == (128, 96, 3)
        out = encode(photo.pixels, PictureFormat.PNG, name="out", metadata=photo.metadata)
        np.testing.assert_array_equal(decode(out, name="out"), photo.pixels)

    def test_every_orientation_of_several_is_reset(self) -> None:
        entries = b"".join(struct.pack("<HHIHH", 0x0112, 3, 1, value, 0) for value in (6, 8))
        photo = read(encoded(smooth(), "PNG", exif=b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)))
        assert photo.pixels.shape == (128, 96, 3)
        assert (photo.metadata.exif or b"").count(struct.pack("<HHIHH", 0x0112, 3, 1, 1, 0)) == 2

    def test_a_position_that_cannot_be_told_apart_takes_the_xmp(self) -> None:
        photo = read(encoded(smooth(), "JPEG", xmp=xmp().decode().replace("4", "gps").encode("utf-16")), strip_gps=True)
        assert photo.metadata.xmp is None
        assert photo.remarks == ("its XMP is left out: the position in it cannot be told apart",)

    @pytest.mark.parametrize("cut", [9, 20, 60])
    def test_damaged_exif_is_one_remark(self, cut: int) -> None:
        photo = read(png(smooth(), eXIf=exif(gps=True)[6:][:cut]))
        assert photo.metadata.exif is None
        assert photo.remarks == ("its EXIF is damaged and left out",)


class TestGivenBack:
    METADATA = Metadata(exif=exif()[6:], xmp=xmp(), profile=DISPLAY_P3)

    @pytest.mark.parametrize("format", PictureFormat)
    def test_every_format_gets_exif_xmp_and_profile(self, format: PictureFormat) -> None:
        file = encode(smooth(), format, name="out", metadata=self.METADATA)
        again = read(file, keep_profile=True).metadata
        assert (again.xmp, again.profile) == (self.METADATA.xmp, self.METADATA.profile)
        after = Image.Exif()
        after.load(b"Exif\0\0" + (again.exif or b""))
        assert (after[0x010F], after.get_ifd(0x8769)[0x9003]) == ("Lantern", "2024:05:06 07:08:09")

    @pytest.mark.parametrize("format", PictureFormat)
    def test_without_a_profile_no_format_gets_one(self, format: PictureFormat) -> None:
        with Image.open(io.BytesIO(encode(smooth(), format, name="out", metadata=Metadata(xmp=xmp())))) as image:
            assert image.info.get("icc_profile") is None

    def test_what_a_format_cannot_hold_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        large = Metadata(exif=b"II*\0" + bytes(65_532), xmp=b"x" * 70_000)
        with Image.open(io.BytesIO(encode(smooth(), PictureFormat.JPEG, name="out.jpg", metadata=large))) as image:
            assert "exif" not in image.info
            assert "xmp" not in image.info
        assert "out.jpg: EXIF of more than 64 KiB cannot be held by JPEG and is left out" in caplog.text
        assert "out.jpg: XMP of more than 64 KiB cannot be held by JPEG and is left out" in caplog.text


class TestJpegDamage:
    KINDS = ({}, {"progressive": True}, {"restart_marker_blocks": 5}, {"subsampling": "4:1:1"}, {"quality": 30})

    @pytest.mark.parametrize("options", KINDS, ids=str)
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_part_of_a_jpeg_with_an_end_marker_is_refused(self, options: dict, mode: str, share: float) -> None:
        file = encoded(Image.fromarray(pixels(160, 240)).convert(mode), "JPEG", **options)
        decode(file, name="whole")
        with pytest.raises(
            ImageError, match=r"half\.jpg: cannot be decoded: part of the picture is missing or damaged"
        ):
            decode(file[: int(len(file) * share)] + b"\xff\xd9", name="half.jpg")

    @pytest.mark.parametrize("options", KINDS, ids=str)
    def test_a_missing_end_marker_alone_is_a_remark(self, options: dict) -> None:
        file = encoded(smooth(), "JPEG", **options)
        np.testing.assert_array_equal(read(file[:-2]).pixels, read(file).pixels)
        assert read(file[:-2]).remarks == ("the JPEG file lacks its end marker",)

    def test_progressive_files_that_end_after_some_of_their_scans_are_refused(self) -> None:
        file = encoded(smooth(), "JPEG", progressive=True)
        starts = [at for at in range(len(file)) if file[at : at + 2] == b"\xff\xda"]
        assert len(starts) > 5
        for start in starts[1:]:
            with pytest.raises(ImageError, match="scans are missing"):
                decode(file[:start] + b"\xff\xd9", name="cut")

    def test_damage_in_the_middle_is_refused(self) -> None:
        file = bytearray(encoded(pixels(160, 240), "JPEG"))
        middle = len(file) // 2
        file[middle : middle + 60] = bytes(60)
        with pytest.raises(ImageError, match="missing or damaged"):
            decode(bytes(file), name="damaged")

    def test_padding_and_what_follows_the_end_are_no_damage(self) -> None:
        file = encoded(smooth(), "JPEG")
        for sound in (file[:-2] + bytes(9) + file[-2:], file + b"trailer" * 99):
            np.testing.assert_array_equal(read(sound).pixels, read(file).pixels)

    def test_colours_sampled_as_few_programs_do_are_checked_too(self) -> None:
        file = bytearray(encoded(pixels(160, 240), "JPEG", subsampling="4:4:4"))
        file[file.index(b"\xff\xc0") + 11] = 0x31  # not what was coded; but a scan of that many blocks is there
        decode(bytes(file), name="whole")
        with pytest.raises(ImageError, match="truncated"):
            decode(bytes(file[: len(file) // 4]) + b"\xff\xd9", name="half")

    def test_an_opened_image_is_checked_too(self, tmp_path: Path) -> None:
        file = encoded(smooth(), "JPEG")
        (tmp_path / "half.jpg").write_bytes(file[: len(file) // 2] + b"\xff\xd9")
        with Image.open(tmp_path / "half.jpg") as image, pytest.raises(ImageError, match="missing or damaged"):
            photo_from(image)


class TestPngDamage:
    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            ("gAMA", b"\0\1"),
            ("cHRM", bytes(12)),
            ("sRGB", b""),
            ("iCCP", b"no end of a name"),
            ("iCCP", b"name\0\1" + zlib.compress(ADOBE)),
            ("iCCP", b"name\0\0" + zlib.compress(bytes(2**21))),
            ("zTXt", b"name\0\0" + zlib.compress(bytes(2**21))),
            ("iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2**21))),
        ],
    )
    def test_damaged_chunks_beside_the_picture_are_left_out_and_said(self, kind: str, content: bytes) -> None:
        photo = read(png(pixels(), **{kind: content}))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.remarks == (f"its damaged or too large chunks ({kind}) are left out",)

    @pytest.mark.parametrize("behind", [False, True])
    def test_chunks_whose_check_fails_are_left_out_and_said(self, behind: bool) -> None:
        file, bad = encoded(pixels(), "PNG"), chunk(b"eXIf", exif()[6:])[:-4] + b"????"
        at = len(file) - 12 if behind else 33
        photo = read(file[:at] + bad + file[at:])
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert (photo.metadata.exif, photo.remarks) == (None, ("its damaged or too large chunks (eXIf) are left out",))

    def test_a_missing_end_is_a_remark_and_a_missing_part_an_error(self) -> None:
        file = encoded(pixels(), "PNG")
        photo = read(file[:-12])
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.remarks == ("the PNG file lacks its end",)
        with pytest.raises(ImageError, match="truncated"):
            read(file[:-40])

    def test_whole_chunks_are_read_as_ever(self) -> None:
        text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp())
        file = png(pixels(), iCCP=b"name\0\0" + zlib.compress(DISPLAY_P3), iTXt=text, eXIf=exif()[6:])
        photo = read(file, keep_profile=True)
        assert (photo.metadata.profile, photo.metadata.xmp, photo.remarks) == (DISPLAY_P3, xmp(), ())
        assert photo.metadata.exif is not None


class TestTiffDamage:
    @pytest.mark.parametrize("rows", [160, 32])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
    def test_damage_of_jpeg_data_in_tiff_is_refused(self, mode: str, rows: int) -> None:
        file = encoded(
            Image.fromarray(pixels(160, 240)).convert(mode), "TIFF", compression="jpeg", tiffinfo={278: rows}
        )
        with Image.open(io.BytesIO(file)) as image:
            start, length = image.tag_v2[273][-1], image.tag_v2[279][-1]  # type: ignore[attr-defined]
        decode(file, name="whole")
        damaged = file[: start + length // 2] + bytes(length - length // 2) + file[start + length :]
        with pytest.raises(ImageError, match=r"photo: cannot be decoded: part of the picture is missing or damaged"):
            decode(damaged, name="photo")
        with Image.open(io.BytesIO(damaged)) as image, pytest.raises(ImageError, match="missing or damaged"):
            photo_from(image)

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
    def test_missing_strips_are_refused(self, compression: str | None) -> None:
        options = {} if compression is None else {"compression": compression}
        file = encoded(smooth(), "TIFF", tiffinfo={278: 96}, **options)
        found = re.search(rb"\x01\x01[\x03\x04]\x00\x01\x00\x00\x00", file)  # the height: a tag, a type, a count
        assert found is not None
        entry = found.start()
        file = file[: entry + 8] + struct.pack("<I", 192) + file[entry + 12 :]
        with pytest.raises(ImageError, match="some of its strips are missing"):
            decode(file, name="photo")

    @pytest.mark.parametrize("rows", [7, 96, 1000])
    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
    def test_a_whole_file_of_any_strips_is_read(self, compression: str | None, rows: int) -> None:
        options: dict[str, Any] = {} if compression is None else {"compression": compression}
        options |= {"quality": 95} if compression == "jpeg" else {}
        rows = 8 if (compression, rows) == ("jpeg", 7) else rows
        shown = decode(encoded(smooth(), "TIFF", tiffinfo={278: rows}, **options), name="photo")
        assert np.abs(shown.astype(int) - smooth()).max() <= (12 if compression == "jpeg" else 0)


def test_heic_without_its_decoder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"a\.heic: HEIC needs a decoder; run: pip install 'clc\[heif\]'"):
        decode(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(40), name="a.heic")


def test_heic_is_read_with_its_decoder() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth())).save(file, quality=95)
    assert np.abs(decode(file.getvalue(), name="a.heic").astype(int) - smooth()).mean() < 4


def test_unknown_chunks_are_passed_over() -> None:
    np.testing.assert_array_equal(decode(png(pixels(), abCd=b"?"), name="p"), pixels())
    assert chunk(b"IEND", b"")[4:8] == b"IEND"


def test_every_test_that_the_documentation_names_is_there() -> None:
    root = Path(__file__).parents[2]
    files: tuple[str, ...] = ("tests/images/test_photos.py", "tests/images/test_source.py", "tests/test_carried.py")
    files += ("tests/dictionary/test_stages.py", "tests/codec/test_troublemakers.py", "tests/codec/test_safety.py")
    files += (
        "tests/images/test_decode.py",
        "tests/commands/test_batch.py",
        "tests/test_api.py",
        "tests/runtime/test_output_stream.py",
    )
    tests = "".join((root / file).read_text("utf-8") for file in files)
    named = re.findall(r"`(test_\w+)`", (root / "docs/photos.md").read_text("utf-8"))
    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in tests] == []
