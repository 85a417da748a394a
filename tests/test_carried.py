"""EXIF, XMP and profiles: from a photo's file through a stream to the decoded file, by command and library."""

import io
import json
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import clc.api
from clc import pillow_plugin
from clc.api import StoreCodec
from clc.cli import app, remarks_at_the_end
from clc.codec.bitstream import Bitstream, describe
from clc.codec.metadata_section import MAX_METADATA, pack_metadata, read_metadata
from clc.codec.packing import pack_number
from clc.codec.stream_header import NO_DICTIONARY, Header
from clc.errors import BitstreamError, ImageError, ProfileError
from clc.images.metadata import Carry, Metadata
from clc.store_decoder import metadata_of
from tests.conftest import World, picture
from tests.images.photo_files import (
    DISPLAY_P3,
    encoded,
    exif,
    exif_as_text,
    gif_with,
    pixels,
    png_with,
    png_xmp,
    smooth,
    webp_with,
    xmp,
)

Run = Callable[..., str]


@pytest.fixture(scope="module")
def codec(world: World) -> StoreCodec:
    return clc.api.load(store=world.store)


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of `clc` in an empty folder; gives all that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLC_STORE", world.store.url)

    def call(*arguments: str) -> str:
        with remarks_at_the_end():
            result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def write(name: str, **options: object) -> None:
    Path(name).write_bytes(encoded(smooth(64, 80), "JPEG", **options))


def test_the_command_carries_exif_and_xmp_and_gives_them_back(run: Run) -> None:
    write("a.jpg", exif=exif(orientation=6, gps=True), xmp=xmp())
    run("compress", "a.jpg", "--no-references")
    said = json.loads(run("info", "a.clc"))
    assert said["metadata"].keys() == {"exif", "xmp"}
    assert 0 < said["bytes"]["metadata"] < sum(said["metadata"].values())
    assert sum(size for name, size in said["bytes"].items() if name != "total") == Path("a.clc").stat().st_size
    run("decompress", "a.clc", "out.jpg")
    with Image.open("out.jpg") as image:
        assert (image.size, image.getexif()[0x010F], image.getexif()[0x0112]) == ((64, 80), "Lantern", 1)
        assert image.getexif().get_ifd(0x8825)[2] == (52.0, 31.0, 12.5)
        assert image.info["xmp"] == xmp()


def test_strip_and_strip_gps(run: Run) -> None:
    write("a.jpg", exif=exif(gps=True), xmp=xmp())
    run("compress", "a.jpg", "b.clc", "--no-references", "--strip")
    assert json.loads(run("info", "b.clc"))["metadata"] == {}
    run("compress", "a.jpg", "c.clc", "--no-references", "--strip-gps")
    run("decompress", "c.clc", "c.png")
    with Image.open("c.png") as image:
        assert image.getexif()[0x010F] == "Lantern"
        assert 0x8825 not in image.getexif()


def test_a_kept_profile_comes_back_and_a_converted_one_does_not(run: Run) -> None:
    write("a.jpg", icc_profile=DISPLAY_P3)
    run("compress", "a.jpg", "kept.clc", "--no-references", "--keep-profile")
    run("compress", "a.jpg", "srgb.clc", "--no-references")
    for name in ("kept", "srgb"):
        run("decompress", f"{name}.clc", f"{name}.png")
    with Image.open("kept.png") as kept, Image.open("srgb.png") as srgb:
        assert (kept.info.get("icc_profile"), srgb.info.get("icc_profile")) == (DISPLAY_P3, None)


def test_what_is_lost_of_many_photos_is_added_up(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abcd":
        Image.new("RGBA", (40, 30), (1, 2, 3, 4)).save(f"{name}.png")
    run("compress", *(f"{name}.png" for name in "abcd"), "--no-references")
    assert capsys.readouterr().err == "clc: transparency became white: 4 files (a.png, b.png, c.png, ...)\n"


def test_every_form_of_a_photo_gives_the_same_stream(codec: StoreCodec, tmp_path: Path) -> None:
    image = Image.fromarray(smooth(64, 80))
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    pixels = smooth(64, 80)
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), io.BytesIO(data), image, pixels]
    forms.append(torch.from_numpy(pixels).permute(2, 0, 1))
    streams = list(codec.compress_many(forms, references=False))
    with (tmp_path / "a.png").open("rb") as file:
        streams.append(codec.compress(file, references=False))
    assert len(set(streams)) == 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "no image can be read from NoneType"),
        ([[0]], "no image can be read from list"),
        (io.StringIO("text"), "open it in binary mode"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8, device="meta"), "holds no numbers"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8).to_sparse(), "the tensor is sparse; give a dense one"),
        (np.ma.masked_equal(np.zeros((4, 4, 3), np.uint8), 0), "values are masked; fill them first"),
        (torch.zeros(3, 4, 4), r"a tensor is uint8 \[3, H, W\], not torch.float32"),
        (np.zeros((4, 4, 3)), r"an image is uint8 \[H, W, 3\], not float64"),
        (b"", "empty"),
        ("a\0b.png", "cannot be read: embedded null byte"),
        (np.zeros((4, 4), np.uint8), r"an image is uint8 \[H, W, 3\], not uint8 \[4, 4\]"),
    ],
)
def test_other_forms_are_refused(codec: StoreCodec, image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        codec.compress(image, references=False)


def test_streams_come_as_bytes_and_files(codec: StoreCodec) -> None:
    data = codec.compress(smooth(64, 80), references=False)
    pictures = [codec.decompress(each) for each in (data, bytearray(data), memoryview(data), io.BytesIO(data))]
    assert len({picture.tobytes() for picture in pictures}) == 1
    for other, message in (("a.clc", "from str"), (None, "from NoneType"), (io.StringIO("?"), "binary mode")):
        with pytest.raises(BitstreamError, match=message):
            codec.decompress(other)  # type: ignore[arg-type]


def test_a_picture_is_given_what_its_stream_carries(codec: StoreCodec) -> None:
    file = encoded(smooth(64, 80), "PNG", exif=exif(), icc_profile=DISPLAY_P3)
    picture = codec.decompress(codec.compress(file, references=False, carry=Carry(keep_profile=True)))
    assert picture.info["icc_profile"] == DISPLAY_P3
    assert picture.getexif()[0x010F] == "Lantern"


def test_a_limit_of_pixels_goes_before_pillows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow refuses twice as many
    file = encoded(smooth(64, 80), "PNG")
    clc.api.load(store=world.store, max_pixels=5120).compress(file, references=False)
    with pytest.raises(ImageError, match=r"80×64 pixels, more than the limit of 5119"):
        clc.api.load(store=world.store, max_pixels=5119).compress(file, references=False)


class TestSection:
    WHOLE = Metadata(exif=b"II*\0" + bytes(9), xmp=xmp(), profile=DISPLAY_P3)

    def test_it_holds_what_it_was_given(self) -> None:
        section = pack_metadata(self.WHOLE)
        assert section is not None
        assert read_metadata(section) == self.WHOLE
        assert pack_metadata(Metadata()) is None
        assert read_metadata(None) == Metadata()

    @pytest.mark.parametrize(
        "section",
        [
            b"",
            b"\x05nonsense",
            pack_number(MAX_METADATA + 1) + zlib.compress(b""),
            pack_number(5) + zlib.compress(bytes(10**6)),
            pack_number(10**6) + zlib.compress(bytes(5)),
            pack_number(4) + zlib.compress(b"\2\2ab") + b"more",
            pack_number(6) + zlib.compress(b"\2\1a\1\1b"),
            pack_number(3) + zlib.compress(b"\1\x09a"),
            pack_number(70_004) + zlib.compress(b"\1" + pack_number(70_000) + bytes(70_000)),
        ],
    )
    def test_damage_is_refused(self, section: bytes) -> None:
        with pytest.raises(BitstreamError, match=r"metadata|number"):
            read_metadata(section)

    def test_an_item_of_a_later_release_is_passed_over(self) -> None:
        items = b"\2\1a\x09\2??"
        assert read_metadata(pack_number(len(items)) + zlib.compress(items)) == Metadata(xmp=b"a")

    def test_random_damage_gives_metadata_or_an_error(self) -> None:
        section, generator = pack_metadata(self.WHOLE), np.random.default_rng(0)
        assert section is not None
        refused = 0
        for _ in range(200):
            damaged = bytearray(section)
            damaged[generator.integers(0, len(damaged))] ^= 1 << generator.integers(0, 8)
            try:
                read_metadata(bytes(damaged))
            except BitstreamError:
                refused += 1
        assert refused > 150

    def test_damage_never_hides_the_picture(self, codec: StoreCodec, caplog: pytest.LogCaptureFixture) -> None:
        stream = Bitstream.from_bytes(codec.compress(smooth(64, 80), references=False))
        damaged = replace(stream, metadata=b"\x05nonsense").to_bytes()
        assert codec.decompress(damaged).size == (80, 64)
        assert "what it carries beside the picture is left out" in caplog.text
        assert "damaged" in str(describe(damaged)["metadata"])

    def test_its_bytes_count_in_a_rate(self, codec: StoreCodec) -> None:
        file = encoded(picture(5, 96, 128), "PNG", exif=exif() + np.random.default_rng(0).bytes(500))
        data = codec.compress(file, references=False, bpp=2.0)
        assert 8 * len(data) / (96 * 128) == pytest.approx(2.0, rel=0.02)
        assert describe(data)["bytes"]["metadata"] > 500


def test_a_stream_of_this_release_is_read_by_an_older_one(codec: StoreCodec) -> None:
    """It skips what it does not know from kind 64 on: the layout says so."""
    data = codec.compress(encoded(smooth(64, 80), "PNG", exif=exif()), references=False)
    section = pack_metadata(codec_metadata(data))
    assert section is not None
    assert bytes([64]) + pack_number(len(section)) + section in data
    assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])


def codec_metadata(data: bytes) -> Metadata:
    return metadata_of(data)


def test_pillow_opens_and_saves_streams(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLC_STORE", world.store.url)
    pillow_plugin._codec.cache_clear()
    source = Image.fromarray(picture(5, 96, 128))
    source.info["exif"] = exif()
    source.save(tmp_path / "a.clc", quality=70, references=False)
    assert describe((tmp_path / "a.clc").read_bytes())["quality"] == 70
    with Image.open(tmp_path / "a.clc") as image:
        assert (image.format, image.mode, image.size) == ("CLC", "RGB", (128, 96))
        assert image.getexif()[0x010F] == "Lantern"
        decoded = clc.api.load(store=world.store).decompress((tmp_path / "a.clc").read_bytes())
        np.testing.assert_array_equal(np.asarray(image), np.asarray(decoded))
    with Image.open(tmp_path / "a.clc") as image:
        copied = pickle.loads(pickle.dumps(image))
        np.testing.assert_array_equal(np.asarray(copied), np.asarray(decoded))
    pillow_plugin._codec.cache_clear()


def test_what_pillow_is_told_to_save_beside_a_picture_is_carried(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLC_STORE", world.store.url)
    pillow_plugin._codec.cache_clear()
    source = Image.fromarray(smooth(64, 80))
    source.info["exif"] = exif()
    other = Image.Exif()
    other[0x010F] = "Beacon"
    path = tmp_path / "a.clc"
    source.save(path, exif=other, xmp=xmp(), icc_profile=DISPLAY_P3, keep_profile=True, references=False)
    with Image.open(path) as image:
        assert image.getexif()[0x010F] == "Beacon"
        assert (image.info["xmp"], image.info["icc_profile"]) == (xmp(), DISPLAY_P3)
    source.save(path, exif=b"", references=False)
    with Image.open(path) as image:
        assert "exif" not in image.info
    assert source.info == {"exif": exif()}
    pillow_plugin._codec.cache_clear()


@pytest.mark.parametrize("kind", ["PNG", "text of PNG", "TIFF", "GIF", "WebP"])
def test_pillow_is_told_to_save_nothing_beside_a_picture(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("CLC_STORE", world.store.url)
    pillow_plugin._codec.cache_clear()
    file = {
        "PNG": png_with((b"iTXt", png_xmp(xmp())), (b"eXIf", exif()[6:])),
        "text of PNG": png_with((b"zTXt", exif_as_text(exif().hex(), len(exif())))),
        "TIFF": encoded(smooth(), "TIFF", tiffinfo={700: xmp(), 271: "Lantern"}, icc_profile=DISPLAY_P3),
        "GIF": gif_with(b"XMP DataXMP", xmp(), parts=False),
        "WebP": webp_with(b"EXIF", exif()[6:]),
    }[kind]
    (tmp_path / "photo").write_bytes(file)
    with Image.open(tmp_path / "photo") as image:
        image.save(tmp_path / "a.clc", exif=b"", xmp=None, icc_profile=None, keep_profile=True, references=False)
    with Image.open(tmp_path / "a.clc") as image:
        assert not {"exif", "xmp", "icc_profile"} & {*image.info}
    pillow_plugin._codec.cache_clear()


def test_pillow_saves_no_half_of_a_jpeg_file_and_takes_every_option(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLC_STORE", world.store.url)
    pillow_plugin._codec.cache_clear()
    whole = encoded(pixels(160, 240), "JPEG")
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    with Image.open(tmp_path / "half.jpg") as image, pytest.raises(ImageError, match="missing or damaged"):
        image.save(tmp_path / "half.clc", references=False)
    assert not (tmp_path / "half.clc").exists()
    source = Image.fromarray(smooth(64, 80))
    with pytest.raises(ProfileError, match="quality must be a number, not 'high'"):
        source.save(tmp_path / "a.clc", quality="high")
    with pytest.raises(ProfileError, match="effort must be a whole number"):
        source.save(tmp_path / "a.clc", effort=99)
    assert not (tmp_path / "a.clc").exists()
    pillow_plugin._codec.cache_clear()


def test_pillow_saves_one_picture_only(tmp_path: Path) -> None:
    image = Image.fromarray(smooth(64, 80))
    with pytest.raises(ImageError, match="holds one picture"):
        image.save(tmp_path / "a.clc", save_all=True, append_images=[image])


@pytest.mark.parametrize("first", ["clc", "PIL.Image, clc"])
def test_pillow_opens_a_stream_without_its_model_and_without_torch(tmp_path: Path, first: str) -> None:
    header = Header("0123456789abcdef", NO_DICTIONARY, 300, 200, 50.0, 0, 0)
    stream = Bitstream(header, np.empty((header.queries, 0), dtype=np.int64), b"", b"", 0).to_bytes()
    (tmp_path / "a.clc").write_bytes(stream)
    code = f"import sys, {first}; from PIL import Image; print(Image.open('a.clc').size, 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout == "(200, 300) False\n"


def test_pillow_does_not_know_a_damaged_stream() -> None:
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(b"CLC\x06nonsense"))
