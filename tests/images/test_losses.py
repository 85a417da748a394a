"""Samples and pictures of a photo's file that become something else, or are left out: the rows of docs/photos.md."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.errors import ImageError
from clc.images.decode import decode
from clc.images.forms import photo_from
from clc.images.isobmff import PictureProperties, picture_properties
from clc.images.losses import picture_losses
from clc.images.metadata import Carry, Metadata
from tests.images.photo_files import (
    DISPLAY_P3,
    bmp_with,
    box,
    chunk,
    encoded,
    gif_with,
    pixels,
    png,
    read,
    smooth,
    tiff_in_planes,
    xmp,
)


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

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_planes_of_tiff_are_read_at_every_depth(self, bits: int, packed: bool, order: str) -> None:
        samples = np.random.default_rng(1).integers(0, 2**bits, (6, 8, 3)).astype(np.uint8 if bits == 8 else np.uint16)
        file = tiff_in_planes(samples, 2, order=order, packed=packed)
        np.testing.assert_array_equal(read(file).pixels, samples >> (bits - 8))
        with Image.open(io.BytesIO(file)) as image:
            for _ in range(2):
                np.testing.assert_array_equal(photo_from(image).pixels, samples >> (bits - 8))

    def test_planes_that_pillow_reads_as_something_else_are_refused(self) -> None:
        samples = np.random.default_rng(1).integers(0, 256, (6, 8, 4)).astype(np.uint8)
        with pytest.raises(ImageError, match="grey and alpha lie in planes that are compressed; save it"):
            read(tiff_in_planes(samples[..., :2], 1, packed=True, alpha=True))
        file = tiff_in_planes(samples.astype(np.uint16), 5)
        with pytest.raises(ImageError, match="samples of 16 bits lie in planes; save it"):
            read(file)
        with Image.open(io.BytesIO(tiff_in_planes(samples[..., :3].astype(np.uint16), 2))) as image:
            image.load()
            with pytest.raises(ImageError, match="which Pillow has read as 8; give the file itself"):
                photo_from(image)

    @pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1, 330: 8}, {255: 2, 330: 8}], ids=str)
    def test_raw_files_that_begin_as_a_small_tiff_picture_are_refused(self, tags: dict[int, object]) -> None:
        file = encoded(smooth(), "TIFF", tiffinfo=tags)
        with pytest.raises(ImageError, match=r"^a: .*raw file.*; develop it"):
            decode(file, name="a")
        with Image.open(io.BytesIO(file)) as image, pytest.raises(ImageError, match="raw file"):
            photo_from(image)

    def test_a_small_first_page_is_refused_and_a_small_last_one_said(self) -> None:
        small, whole = Image.new("L", (4, 4)), Image.new("L", (8, 8))
        with pytest.raises(ImageError, match="its first picture is a small version of another"):
            read(encoded(small, "TIFF", save_all=True, append_images=[whole], tiffinfo={254: 1}))
        assert read(encoded(whole, "TIFF", save_all=True, append_images=[small])).pixels.shape == (8, 8, 3)
        assert read(encoded(small, "TIFF", tiffinfo={254: 1})).pixels.shape == (4, 4, 3)

    @pytest.mark.parametrize("head", [b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW", b"IIU\0"])
    def test_raw_files_are_called_so_by_whatever_name(self, head: bytes) -> None:
        with pytest.raises(ImageError, match=r"^a: a camera's raw file is not a finished picture; develop it"):
            decode(head + bytes(60), name="a")

    @pytest.mark.parametrize("bits", [8, 16])
    def test_signed_samples_are_refused_at_every_depth(self, bits: int) -> None:
        grey = Image.fromarray(np.full((4, 4), 200, dtype=np.uint8 if bits == 8 else np.uint16))
        codestream = bytearray(encoded(grey, "JPEG2000", no_jp2=True))
        codestream[42] |= 0x80  # of the first component
        for file in (encoded(grey, "TIFF", tiffinfo={339: 2}), bytes(codestream)):
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

    @pytest.mark.parametrize(
        ("kind", "file"),
        [
            ("PNG of Display P3", png(smooth(), cICP=bytes([12, 13, 0, 1]))),
            ("PNG of HDR", png(smooth(), cICP=bytes([9, 16, 0, 1]))),
            ("PNG with text", png(smooth(), abCd=b"?") + b"SEFT" * 9),
            ("BMP with a profile", bmp_with(DISPLAY_P3, smooth())),
            ("GIF with a profile", gif_with(b"ICCRGBG1012", DISPLAY_P3)),
            ("GIF with XMP", gif_with(b"XMP DataXMP", xmp(), parts=False)),
            ("AVIF", encoded(smooth(), "AVIF")),
            ("PPM of 10 bits", b"P6 # a\n2 1\n1023 " + bytes([2, 0] * 6)),
            ("TIFF", encoded(smooth(), "TIFF", tiffinfo={319: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), 700: xmp()})),
        ],
    )
    def test_an_image_whose_pixels_are_read_is_what_its_file_says(self, kind: str, file: bytes, tmp_path: Path) -> None:
        """Pillow reads them, and closes the file, before it saves an image."""
        path = tmp_path / "photo"
        path.write_bytes(file)
        with Image.open(path) as image:
            image.load()
            photo, expected = photo_from(image, carry=Carry()), read(file)
        np.testing.assert_array_equal(photo.pixels, expected.pixels)
        assert (photo.metadata, photo.remarks) == (expected.metadata, expected.remarks)

    def test_an_image_whose_file_is_another_one_by_now_is_taken_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "photo"
        path.write_bytes(encoded(smooth(), "PNG"))
        with Image.open(path) as image:
            image.load()
            path.write_bytes(bmp_with(DISPLAY_P3, smooth()))
            np.testing.assert_array_equal(photo_from(image).pixels, smooth())

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


def test_heic_without_its_decoder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"a\.heic: HEIC needs a decoder; run: pip install 'clc\[heif\]'"):
        decode(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(40), name="a.heic")


def test_damaged_heic_is_called_heic() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(ImageError, match="it begins as HEIC, but is damaged"):
        decode(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(40), name="a.heic")


@pytest.mark.parametrize("head", [b"CLC\6", b"\x93CLCA\r\n\x1a"])
def test_what_is_compressed_already_is_called_so(head: bytes) -> None:
    with pytest.raises(ImageError, match=r"^a: a stream or an archive of clc; `clc decompress` or `clc unpack`"):
        decode(head + bytes(99), name="a")


def test_heic_is_read_with_its_decoder() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth())).save(file, quality=95)
    assert np.abs(decode(file.getvalue(), name="a.heic").astype(int) - smooth()).mean() < 4
