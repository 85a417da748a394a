"""Damaged files of photos: refused, or read without what is damaged, the rows of docs/photos.md."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clc.errors import ImageError
from clc.images.decode import decode
from clc.images.forms import photo_from
from tests.images.photo_files import (
    ADOBE,
    DISPLAY_P3,
    chunk,
    encoded,
    exif,
    old_jpeg_tiff,
    pixels,
    png,
    read,
    smooth,
    xmp,
)


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

    @pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
    def test_what_cannot_be_checked_is_refused(self, options: dict) -> None:
        """libjpeg warns of no arithmetic coding that ends early."""
        plain, arithmetic = (b"\xff\xc2", b"\xff\xca") if options else (b"\xff\xc0", b"\xff\xc9")
        file = encoded(smooth(), "JPEG", **options).replace(plain, arithmetic, 1)
        with pytest.raises(ImageError, match=r"^a\.jpg: .* cannot be checked for damage \(arithmetic"):
            decode(file, name="a.jpg")
        file = bytearray(encoded(smooth(), "JPEG", subsampling="4:4:4", progressive=True))
        file[file.index(b"\xff\xc2") + 11] = 0x31
        with pytest.raises(ImageError, match=r"cannot be checked for damage \(progressive, with unusual sampling"):
            decode(bytes(file), name="a.jpg")

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

    @pytest.mark.parametrize("inside", [True, False])
    def test_damage_of_old_jpeg_data_in_tiff_is_refused(self, inside: bool) -> None:
        jpeg = encoded(smooth(), "JPEG", quality=95)
        whole = decode(old_jpeg_tiff(jpeg, inside=inside), name="whole")
        assert np.abs(whole.astype(int) - decode(jpeg, name="jpeg")).mean() < 2
        half = jpeg[: len(jpeg) * 2 // 3].ljust(len(jpeg) - 2, b"\0") + b"\xff\xd9"
        with pytest.raises(ImageError, match="part of the picture is missing or damaged"):
            decode(old_jpeg_tiff(half, inside=inside), name="half")
        with pytest.raises(ImageError, match=r"cannot be checked for damage \(tables and strips of TIFF's old JPEG\)"):
            decode(old_jpeg_tiff(b"\0\0" + jpeg, inside=inside), name="of tables")

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


def test_unknown_chunks_are_passed_over() -> None:
    np.testing.assert_array_equal(decode(png(pixels(), abCd=b"?"), name="p"), pixels())
    assert chunk(b"IEND", b"")[4:8] == b"IEND"
