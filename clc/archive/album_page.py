"""One HTML page about an archive: its photos by what they refer to, what each takes, and what JPEG and AVIF would.

The page carries its pictures, loads nothing and needs no script.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from PIL import Image

from clc.archive.album import Album
from clc.archive.alternatives import SETTINGS, Alternatives
from clc.archive.groups import Group, Grouped, Picture, grouped, predicted_alone
from clc.archive.names import printable
from clc.archive.plan import NO_PLAN, ArchivePlan
from clc.errors import ArchiveError, BitstreamError
from clc.runtime.files import write_page

KEY_PIXELS = 320
PHOTO_PIXELS = 160
"""Pixels along the longer side of a picture on the page."""

SHOWN = 500
"""Pictures on the page at most, to keep it below 10 MB; the rest is counted."""

_PICTURE_QUALITY = 70
_NOTHING: Mapping[str, Alternatives] = {}


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class ShownPhoto:
    """One picture. also: other names of the same picture. problem: why it cannot be decoded, else ""."""

    name: str
    picture: Picture
    also: tuple[str, ...]
    thumbnail: Thumbnail | None
    problem: str
    measured: Alternatives | None

    @property
    def others(self) -> tuple[str, ...]:
        """Key photos that it refers to beside that of its group."""
        return tuple(map(printable, self.picture.others))


@dataclass(frozen=True)
class WithoutKey:
    """What leaving out a key photo changes: bytes of it, and of those that refer to it, now and (predicted) alone."""

    saved: int
    now: int
    alone: float

    @property
    def change(self) -> float:
        """Of the bytes of all; below 0, the archive would be smaller."""
        return self.alone - self.now - self.saved


@dataclass(frozen=True)
class ShownGroup:
    """A key photo, and as many of those that refer to it as are shown."""

    group: Group
    key: ShownPhoto
    photos: tuple[ShownPhoto, ...]
    without: WithoutKey | None


@dataclass(frozen=True)
class Total:
    """What a codec takes for all pictures at the same PSNR. measured: for how many that was; else by their pixels."""

    codec: str
    bytes: float
    measured: int
    pictures: int

    @property
    def exact(self) -> bool:
        """Whether it is a sum, not an estimate."""
        return self.measured == self.pictures


def render_album_page(
    album: Album,
    *,
    plan: ArchivePlan = NO_PLAN,
    measured: Mapping[str, Alternatives] = _NOTHING,
    failed: Sequence[tuple[str, str]] = (),
    report: Callable[[int], None] = lambda _: None,
) -> str:
    """The page of an archive as HTML. The same arguments give the same page, byte for byte.

    plan: by which it was packed, for what leaving out a key photo would change. measured: `alternatives`, by name.
    failed: names of photos that could not be packed, each with the reason. report: called with how many are decoded.
    Raises MissingArtifactError if a model is not here; a photo that is damaged is shown by its name and the reason.
    """
    everything = grouped(album.archive)
    keys = {group.key.name for group in everything.groups}
    shown: dict[str, ShownPhoto] = {}
    for picture in everything.pictures[:SHOWN]:
        pixels = KEY_PIXELS if picture.name in keys else PHOTO_PIXELS
        shown[picture.name] = _shown(album, picture, pixels, measured)
        report(len(shown))
    groups = [_shown_group(group, shown, plan) for group in everything.groups if group.key.name in shown]
    columns = album.archive.index.of_members
    return _template().render(
        title=printable(album.archive.source.name.rpartition("/")[2]),
        photos=len(album),
        pictures=len(everything.pictures),
        archive_bytes=album.archive.source.size,
        original_bytes=int(columns["original_bytes"].sum()),
        totals=_totals(everything, measured),
        settings=SETTINGS,
        measured=len(measured),
        planned=bool(plan.photos),
        groups=groups,
        alone=[shown[picture.name] for picture in everything.alone if picture.name in shown],
        not_shown=[picture.bytes for picture in everything.pictures[SHOWN:]],
        failed=[(printable(name), reason.removeprefix(f"{printable(name)}: ")) for name, reason in failed],
    )


def write_album_page(
    path: Path,
    album: Album,
    *,
    plan: ArchivePlan = NO_PLAN,
    measured: Mapping[str, Alternatives] = _NOTHING,
    failed: Sequence[tuple[str, str]] = (),
    report: Callable[[int], None] = lambda _: None,
    overwrite: bool = False,
) -> None:
    """Write `render_album_page` to a file, whole or not at all.

    overwrite: replace a file that is there. Raises OutputError if the file cannot be written, and as that does.
    """
    page = render_album_page(album, plan=plan, measured=measured, failed=failed, report=report)
    write_page(path, page, overwrite=overwrite)


def _shown(album: Album, picture: Picture, pixels: int, measured: Mapping[str, Alternatives]) -> ShownPhoto:
    thumbnail, problem = None, ""
    try:
        thumbnail = _thumbnail(album[picture.name], pixels)
    except (ArchiveError, BitstreamError) as error:
        problem = str(error)
    also = tuple(printable(member.name) for member in picture.members[1:])
    return ShownPhoto(printable(picture.name), picture, also, thumbnail, problem, measured.get(picture.name))


def _shown_group(group: Group, shown: Mapping[str, ShownPhoto], plan: ArchivePlan) -> ShownGroup:
    alone = predicted_alone(group, plan)
    without = None if alone is None else WithoutKey(group.key.bytes, group.referring_bytes, alone)
    photos = tuple(shown[picture.name] for picture in group.pictures if picture.name in shown)
    return ShownGroup(group, shown[group.key.name], photos, without)


def _totals(everything: Grouped, measured: Mapping[str, Alternatives]) -> list[Total]:
    """Of the codecs that a photo was measured with."""
    found = []
    pixels = sum(picture.pixels for picture in everything.pictures)
    for codec in ("jpeg", "avif"):
        sizes = {name: getattr(each, codec) for name, each in measured.items()}
        reached = [each for each in everything.pictures if sizes.get(each.name) is not None]
        if reached:
            total = sum(sizes[each.name] for each in reached) * pixels / sum(each.pixels for each in reached)
            found.append(Total(codec.upper(), total, len(reached), len(everything.pictures)))
    return found


def _thumbnail(picture: Image.Image, pixels: int) -> Thumbnail:
    small = picture.convert("RGB")
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_PICTURE_QUALITY, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(uri, small.width, small.height)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"bytes": _bytes}
    return environment.from_string(resources.files(__package__).joinpath("album_page.html.j2").read_text("utf-8"))


def _bytes(count: float) -> str:
    """12345.6 → "12,346"."""
    return f"{round(count):,}"
