"""What a photo's file says beside its picture: carried, left out and given back, the rows of docs/photos.md."""

import io
import re
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from clc.images.decode import decode, decode_photo
from clc.images.encode import PictureFormat, encode
from clc.images.metadata import Metadata
from tests.images.photo_files import (
    DISPLAY_P3,
    POSITION,
    box,
    encoded,
    exif,
    exif_as_text,
    exif_with_position_at,
    exif_with_thumbnail,
    gif_with,
    gif_with_all,
    jpeg_with,
    jpeg_xmp,
    pixels,
    png,
    png_with,
    png_xmp,
    read,
    smooth,
    webp_with,
    xmp,
)


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

    @pytest.mark.parametrize("main", [None, xmp()], ids=["without main part", "of no main part"])
    def test_extended_xmp_that_nothing_refers_to_is_said(self, main: bytes | None) -> None:
        file = jpeg_with((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + xmp()), *jpeg_xmp(main))
        photo = read(file)
        assert (photo.metadata.xmp, photo.remarks) == (main, ("the further part of its XMP is left out",))
        assert read(file, strip=True).remarks == ()

    @pytest.mark.parametrize(
        "file_of",
        [
            lambda *xmp: jpeg_with(*(segment for each in xmp for segment in jpeg_xmp(each))),
            lambda *xmp: png_with(*((b"iTXt", png_xmp(each)) for each in xmp)),
            lambda *xmp: webp_with(b"XMP ", *xmp),
            lambda *xmp: gif_with_all(*xmp),
        ],
        ids=["JPEG", "PNG", "WebP", "GIF"],
    )
    def test_several_xmp_are_said_unless_they_are_equal(self, file_of: Callable[..., bytes]) -> None:
        other = xmp(attributes=' xmp:Label="red"')
        photo = read(file_of(xmp(), other))
        assert photo.metadata.xmp in (xmp(), other)
        assert photo.remarks == ("only one of its several XMP is used",)
        assert read(file_of(xmp(), other), strip=True).remarks == ()
        photo = read(file_of(xmp(), xmp()))
        assert (photo.metadata.xmp, photo.remarks) == (xmp(), ())

    @pytest.mark.parametrize(
        "file_of",
        [
            lambda *exif: jpeg_with(*((0xE1, each) for each in exif)),
            lambda *exif: png_with(*((b"eXIf", each[6:]) for each in exif)),
            lambda one, two: png_with((b"zTXt", exif_as_text(one.hex(), len(one))), (b"eXIf", two[6:])),
            lambda *exif: webp_with(b"EXIF", *exif),
        ],
        ids=["JPEG", "PNG", "text of PNG", "WebP"],
    )
    def test_several_exif_are_said_unless_they_are_equal(self, file_of: Callable[..., bytes]) -> None:
        photo = read(file_of(exif(), exif(gps=True)))
        assert photo.metadata.exif in (read(file_of(each, each)).metadata.exif for each in (exif(), exif(gps=True)))
        assert photo.remarks == ("only one of its several EXIF is used",)
        photo = read(file_of(exif(), exif()))
        assert (photo.metadata, photo.remarks) == (read(png_with((b"eXIf", exif()[6:]))).metadata, ())

    def test_exif_of_several_segments_is_one(self) -> None:
        """As JPEG holds what is longer than a segment."""
        made = Image.Exif()
        made[0x010F], made[0x010E] = "Lantern", "?" * 70_000
        whole = made.tobytes()
        photo = read(jpeg_with((0xE1, whole[:65_000]), (0xE1, b"Exif\0\0" + whole[65_000:])))
        assert (photo.metadata.exif, photo.remarks) == (None, ("its EXIF is left out: more than 65,536 bytes",))

    @pytest.mark.parametrize("kind", [b"EXIF", b"XMP ", b"ICCP"])
    def test_what_no_flag_of_a_webp_file_announces_is_used(self, kind: bytes) -> None:
        content = {b"EXIF": exif(orientation=6)[6:], b"XMP ": xmp(), b"ICCP": DISPLAY_P3}[kind]
        announced = {b"EXIF": {"exif": content}, b"XMP ": {"xmp": content}, b"ICCP": {"icc_profile": content}}[kind]
        photo = read(webp_with(kind, content), keep_profile=True)
        whole = read(encoded(smooth(), "WEBP", **announced), keep_profile=True)
        assert (photo.metadata, photo.remarks) == (whole.metadata, ())
        np.testing.assert_array_equal(photo.pixels, whole.pixels)

    def test_exif_in_the_text_of_a_png_file_is_carried_byte_for_byte(self) -> None:
        profile = b"Exif\0\0" + exif(orientation=6)[6:]
        photo = read(png(smooth(), zTXt=exif_as_text(profile.hex("\n", 36), len(profile))))
        assert photo.pixels.shape == (128, 96, 3)
        assert photo.metadata == read(png(smooth(), eXIf=exif(orientation=6)[6:])).metadata
        assert photo.remarks == ()

    @pytest.mark.parametrize("digits", ["", exif().hex()[:60], exif().hex()[:61], "zz" + exif().hex()[2:], "00" * 40])
    def test_damaged_exif_in_the_text_of_a_png_file_is_one_remark(self, digits: str) -> None:
        for length in (len(digits) // 2, len(exif())):
            photo = read(png(smooth(), zTXt=exif_as_text(digits, length)))
            assert (photo.metadata.exif, photo.remarks) == (None, ("its EXIF is damaged and left out",))
            np.testing.assert_array_equal(photo.pixels, smooth())

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

    @pytest.mark.parametrize(
        "damaged", [*(exif(gps=True)[6:][:cut] for cut in (5, 9, 20, 60)), bytes(40), b"II+\0" + exif()[10:]]
    )
    def test_damaged_exif_is_one_remark(self, damaged: bytes) -> None:
        photo = read(png(smooth(), eXIf=damaged))
        assert photo.metadata.exif is None
        assert photo.remarks == ("its EXIF is damaged and left out",)

    @pytest.mark.parametrize("type", [1, 2, 3, 7, 10, 12])
    def test_exif_that_pillow_cannot_write_anew_takes_no_picture(self, type: int) -> None:
        """Each tag in turn is of a type that it does not have; the picture is read, turned and written all the same."""
        whole = exif(orientation=6, gps=True)[6:]
        entries = re.finditer(rb"(?s)[\x00\x01\x82-\xa4][\x00-\xff]\0[\1-\x0c]\0\0\0[\1-\x20]", whole)
        starts = [entry.start() for entry in entries]
        assert len(starts) > 8
        for start in starts:
            photo = read(png(pixels(), eXIf=whole[: start + 3] + bytes([type]) + whole[start + 4 :]))
            for format in (PictureFormat.PNG, PictureFormat.JPEG, PictureFormat.TIFF, PictureFormat.WEBP):
                written = encode(photo.pixels, format, name="out", metadata=photo.metadata)
                assert decode(written, name="out").shape == photo.pixels.shape


class TestLeftOut:
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
            (jpeg_with((0xE1, b"Exif\0\xff" + exif()[6:])), "segments (APP1)"),
            (png(smooth(), abCd=b"?"), "chunks (abCd)"),
            (webp_with(b"abCd", b"??"), "chunks (abCd)"),
            (gif_with(b"PROGRAM 1.0", b"??"), "blocks (PROGRAM 1.0)"),
            (encoded(smooth(), "JPEG2000") + box(b"uuid", bytes(16)), "boxes (uuid)"),
            (encoded(smooth(), "AVIF") + box(b"mpvd", bytes(16)), "boxes (mpvd)"),
            (encoded(smooth(), "TIFF", tiffinfo={269: "a scan"}), "TIFF tags (269)"),
        ],
        ids=["JPEG", "EXIF of another kind", "PNG", "WebP", "GIF", "JPEG 2000", "AVIF", "TIFF"],
    )
    def test_blocks_of_single_programs_are_said(self, file: bytes, said: str) -> None:
        assert read(file).remarks == (f"its further {said} are left out",)

    def test_the_map_and_the_layers_of_a_tiff_file_are_said(self) -> None:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[33550], tags[37724] = (1.0, 1.0, 0.0), b"layers"
        tags.tagtype |= {33550: 12, 37724: 7}
        said = ("its place on a map (GeoTIFF) is left out", "its layers are left out")
        assert read(encoded(smooth(), "TIFF", tiffinfo=tags)).remarks == said

    @pytest.mark.parametrize("mode", ["RGB", "L", "1"])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "PPM"])
    def test_data_behind_a_picture_is_said(self, kind: str, mode: str) -> None:
        file = encoded(Image.fromarray(smooth()).convert(mode), kind)
        assert read(file).remarks == ()
        assert read(file + b"SEFT" * 9).remarks == ("data behind its picture is left out",)
        assert read(file + bytes(9)).remarks == ()

    def test_comments_are_said(self) -> None:
        assert read(encoded(smooth(), "JPEG", comment=b"by hand")).remarks == (
            "its comments (IPTC, comment) are left out",
        )

    def test_a_source_of_photos_says_nothing_of_comments(self) -> None:
        assert decode_photo(encoded(smooth(), "JPEG", comment=b"by hand"), name="photo").remarks == ()


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
