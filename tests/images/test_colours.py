"""Colours that a photo's file states: the rows of docs/photos.md."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from clc.images.decode import decode
from clc.images.icc_profile import ADOBE_GAMMA, ADOBE_RGB, SRGB, matrix_profile, primaries, profile_of_codes
from clc.images.tone_mapping import Transfer, tone_mapped
from tests.images.photo_files import (
    ADOBE,
    DISPLAY_P3,
    LIGHT_OF_CMYK,
    WIDE,
    bmp_with,
    box,
    calibrated_bmp,
    camera_srgb,
    chunk,
    cmyk_profile,
    encoded,
    exif,
    gif_with,
    grey_profile,
    jpeg_2000_with,
    jpeg_with,
    pixels,
    png,
    png_with,
    read,
    smooth,
    srgb_profile,
    webp_with,
)

SRGB_PROFILES = {"LittleCMS": srgb_profile(), "matrix": matrix_profile(SRGB), "camera": camera_srgb()}


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

    def test_cmyk_with_a_profile_of_rgb_is_a_remark_as_without(self) -> None:
        inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        plain = read(encoded(inks, "TIFF"))
        photo = read(encoded(inks, "TIFF", icc_profile=ADOBE))
        np.testing.assert_array_equal(photo.pixels, plain.pixels)
        assert photo.remarks == (
            "its colour profile cannot be used, converted as if inks were ideal (it is of RGB, the numbers are CMYK)",
        )
        photo = read(encoded(inks, "JPEG", exif=exif(interoperability=b"R03")))
        assert photo.remarks == ("it has CMYK without a profile: converted as if inks were ideal",)

    def test_cmyk_with_a_profile_is_converted(self) -> None:
        photo = read(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", icc_profile=cmyk_profile()))
        assert photo.remarks == ()
        np.testing.assert_allclose(photo.pixels[0, 0], LIGHT_OF_CMYK, atol=3)
        assert photo.metadata.profile is None

    @pytest.mark.parametrize("method", [b"\2", b"\3"])
    @pytest.mark.parametrize("before", [b"", box(b"colr", b"\1\0\0\0\0\0\x15")], ids=["alone", "behind ROMM"])
    def test_a_profile_of_jpeg_2000_is_found(self, before: bytes, method: bytes) -> None:
        file = jpeg_2000_with(before + box(b"colr", method + b"\0\0" + ADOBE))
        assert np.abs(decode(file, name="jp2") - to_srgb(pixels(), "Adobe RGB")).max() < 3

    def test_a_space_of_jpeg_2000_that_is_not_known_is_one_remark(self) -> None:
        photo = read(jpeg_2000_with(box(b"colr", b"\1\0\0\0\0\0\x15")))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert photo.remarks == ("its colours are not known, numbers are taken as they are (JPEG 2000 space 21)",)
        assert read(jpeg_2000_with(box(b"colr", b"\1\0\0\0\0\0\x10"))).remarks == ()

    def test_a_profile_of_bmp_is_found(self) -> None:
        plain = read(encoded(smooth(), "PNG", icc_profile=DISPLAY_P3))
        np.testing.assert_array_equal(read(bmp_with(DISPLAY_P3, smooth())).pixels, plain.pixels)
        assert read(bmp_with(DISPLAY_P3, smooth()), keep_profile=True).metadata.profile == DISPLAY_P3

    def test_a_profile_of_gif_is_found(self) -> None:
        plain = decode(encoded(smooth(), "GIF"), name="plain")
        tagged = read(gif_with(b"ICCRGBG1012", ADOBE))
        assert np.abs(tagged.pixels - to_srgb(plain, "Adobe RGB")).max() < 3
        assert tagged.remarks == ()

    def test_several_profiles_are_said_unless_they_are_equal(self) -> None:
        packed = [b"name\0\0" + zlib.compress(profile) for profile in (ADOBE, DISPLAY_P3)]
        for file in (png_with(*((b"iCCP", each) for each in packed)), webp_with(b"ICCP", ADOBE, DISPLAY_P3)):
            assert read(file, strip=True).remarks == ("only one of its several colour profiles is used",)
        assert read(png_with(*[(b"iCCP", packed[0])] * 2)).remarks == ()

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
