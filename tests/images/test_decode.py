"""The rules of `decode`, one by one, on real encoded bytes."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from clc.errors import ImageError
from clc.images import decode, read_image


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_16_bit(samples: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow cannot write; samples: uint16 [H, W, 3]."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_exactly(kind):
    pixels = noise(7, 5)
    decoded = decode(encode(Image.fromarray(pixels), kind), name="photo")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "JPEG", "JPEG2000", "MPO", "WEBP"])
def test_lossy_formats_come_back_in_shape(kind):
    grey = Image.new("RGB", (20, 10), (90, 90, 90))
    decoded = decode(encode(grey, kind), name="photo")
    assert decoded.shape == (10, 20, 3)
    assert abs(decoded.astype(int) - 90).max() <= 3


def test_exif_orientation_is_applied():
    pixels = noise(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: to be turned clockwise
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(pixels), "PNG", exif=exif), name="photo"), np.rot90(pixels, k=-1)
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_with_rounding(kind):
    samples = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    decoded = decode(encode(Image.fromarray(samples), kind), name="photo")
    np.testing.assert_array_equal(decoded[0, :, 1], [0, 0, 1, 1, 128, 254, 255, 255])
    assert (decoded == decoded[:, :, :1]).all()


def test_16_bit_grey_of_either_byte_order_is_the_same_photo():
    samples = np.arange(0, 65536, 4096, dtype=np.uint16).reshape(2, 8)
    little, big = (encode(Image.fromarray(samples.astype(order)), "TIFF") for order in ("<u2", ">u2"))
    assert little != big
    np.testing.assert_array_equal(decode(little, name="little"), decode(big, name="big"))


def test_white_is_zero_in_a_16_bit_tiff_that_says_so():
    samples = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    decoded = decode(encode(samples, "TIFF", tiffinfo={262: 0}), name="photo")
    np.testing.assert_array_equal(decoded[0, :, 0], [255, 0])


def test_16_bit_colour_keeps_the_high_byte():
    samples = np.array([[[0x0000, 0x00FF, 0x0100], [0x7FFF, 0x80FF, 0xFFFF]]], dtype=np.uint16)
    np.testing.assert_array_equal(decode(png_16_bit(samples), name="photo"), samples >> 8)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_a_stated_range_are_refused(mode):
    with pytest.raises(ImageError, match=r"depth\.tif: .* no stated range"):
        decode(encode(Image.new(mode, (4, 4)), "TIFF"), name="depth.tif")


def test_one_bit_becomes_black_and_white():
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encode(bits, "PNG"), name="photo"), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 51), (204, 204, 204)),
        ("L", 77, (77, 77, 77)),
    ],
)
def test_alpha_is_composited_on_white(mode, colour, expected):
    decoded = decode(encode(Image.new(mode, (2, 2), colour), "PNG"), name="photo")
    np.testing.assert_array_equal(decoded, np.full((2, 2, 3), expected))


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 255])])
def test_a_palette_becomes_colours_and_its_transparent_entries_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    first = (255, 0, 0) if transparency is None else (255, 255, 255)
    np.testing.assert_array_equal(decode(encode(image, "PNG", **options), name="photo"), [[first, (0, 0, 255)]])


def test_a_transparent_colour_becomes_white():
    data = encode(Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)), "PNG", transparency=(1, 2, 3))
    np.testing.assert_array_equal(decode(data, name="photo"), [[[255, 255, 255], [4, 5, 6]]])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind):
    decoded = decode(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind), name="photo")
    assert abs(decoded.astype(int) - [255, 0, 0]).max() <= 3


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data, name="photo"), np.full((3, 3, 3), (255, 0, 0)))


def test_one_pixel_is_an_image():
    assert decode(encode(Image.new("RGB", (1, 1), "red"), "PNG"), name="dot").tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_a_truncated_file_is_an_error_that_names_the_photo(kind):
    data = encode(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(ImageError, match="holiday"):
        decode(data[: len(data) * 2 // 3], name="holiday")


def test_text_is_not_an_image():
    with pytest.raises(ImageError, match=r"notes\.png: not an image"):
        decode(b"Dear diary,\n" * 100, name="notes.png")


def test_empty_bytes_are_not_an_image():
    with pytest.raises(ImageError, match="empty"):
        decode(b"", name="empty")


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (encode(Image.new("RGB", (90, 90)), "TIFF", compression="tiff_lzw")[:100], "TIFF"),
        (encode(Image.new("RGB", (90, 90)), "PNG").replace(b"IHDR", b"IHDR\1"), "PNG"),
        (encode(Image.new("RGB", (90, 90)), "AVIF")[:100], "AVIF"),
    ],
)
def test_a_damaged_file_is_called_what_it_begins_as(file, kind):
    with pytest.raises(ImageError, match=f"it begins as {kind}, but is damaged"):
        decode(file, name="photo")


def test_postscript_is_not_interpreted():
    with pytest.raises(ImageError, match="known format"):
        decode(encode(Image.new("RGB", (2, 2)), "EPS"), name="figure.eps")


def test_more_pixels_than_the_limit_are_refused():
    data = encode(Image.new("L", (101, 100)), "PNG")
    assert decode(data, name="photo", max_pixels=10_100).shape == (100, 101, 3)
    with pytest.raises(ImageError, match="101×100 pixels"):
        decode(data, name="photo", max_pixels=10_099)


def test_a_bomb_is_refused_before_its_pixels_exist():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    with pytest.raises(ImageError, match=r"bomb\.png"):
        decode(b"\x89PNG\r\n\x1a\n" + chunk, name="bomb.png")


def test_warnings_of_the_decoder_do_not_leak(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # Pillow warns above this
    data = encode(Image.new("RGB", (9, 9)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(data, name="photo")


def test_random_damage_gives_pixels_or_an_image_error():
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF"):
        sound = np.frombuffer(encode(Image.fromarray(noise(24, 31)), kind, exif=exif), dtype=np.uint8)
        refused = 0
        for _ in range(150):
            damaged = sound.copy()
            damaged[generator.integers(0, min(200, len(sound)), 3)] = generator.integers(0, 256, 3)
            try:
                assert decode(damaged.tobytes(), name=kind).shape[2] == 3
            except ImageError:
                refused += 1
        assert refused > 0


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.png: cannot be read"):
        read_image(tmp_path / "nowhere.png")
