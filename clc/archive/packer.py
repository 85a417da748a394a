"""Photos into an archive: read, compared, coded and written side by side, a few in memory at a time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from clc.archive.byte_ranges import ByteRanges
from clc.archive.coding import CodedPhoto, PhotoCoder
from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow, sha256
from clc.archive.framing import WORK_KEY_BYTES, Label
from clc.archive.inputs import InputPhoto
from clc.archive.keeping import OriginalKeeper, PackedOriginal
from clc.archive.opened import Opened, open_photo
from clc.archive.plan import DECIBELS_PER_STEP, NO_PLAN, ArchivePlan, PlannedPhoto, Role
from clc.archive.records import FoundStream
from clc.archive.size import Share, SizeBudget
from clc.archive.writer import ArchiveWriter
from clc.codec.decisions.targets import Metric, Target
from clc.codec.metadata_section import pack_items
from clc.errors import ImageError, TargetError
from clc.model.limits import QUALITY_MAX, QUALITY_MIN, QUALITY_STEPS
from clc.runtime.cores import available_cores
from clc.runtime.prefetch import in_parallel

_READERS = 2
_SMALLER = (70.0, 50.0, 30.0, 15.0, QUALITY_MIN)  # where a photo's bytes jump from one quality to the next
_SQUEEZE = 0.985  # of the bytes that are left: a rate is met within 2 %


@dataclass
class PackSummary:
    """What has become of the photos so far.

    looked_at: photos that were compared with others, before any is coded. coded: streams made; same: photos that have
    the pixels of another; reused: streams found from an interrupted run; already: photos that the archive had.
    referring: streams that refer to key photos. failed: names of photos that are not in the archive, each with the
    reason. unused: streams of an interrupted run that stay in the file, where no photo shows them. plan: by which they
    are packed.
    """

    looked_at: int = 0
    coded: int = 0
    referring: int = 0
    same: int = 0
    reused: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    unused: int = 0
    unused_bytes: int = 0
    original_bytes: int = 0
    stream_bytes: int = 0
    plan: ArchivePlan = NO_PLAN

    @property
    def packed(self) -> int:
        """Members that are new."""
        return self.coded + self.same + self.reused

    @property
    def seen(self) -> int:
        """Photos that are done with."""
        return self.packed + self.already + len(self.failed)


@dataclass(frozen=True, eq=False)
class LeftStreams:
    """Whole streams that an interrupted run left in the file, by what their records say."""

    source: ByteRanges
    streams: Mapping[tuple[bytes, str], FoundStream]

    def find(self, label: Label) -> FoundStream | None:
        """The stream that this label would be written for."""
        return self.streams.get((label.work, label.name))

    @cached_property
    def bytes_by_name(self) -> Counter[str]:
        """Of all streams that were made for each name."""
        found: Counter[str] = Counter()
        for (_, name), each in self.streams.items():
            found[name] += each.extent.length
        return found


@dataclass(frozen=True)
class _Key:
    """The stream of a photo that others may refer to."""

    number: int
    stream: bytes


@dataclass(frozen=True)
class _Work:
    """A photo, and what there is to do for it: nothing more, take a stream that is there, or code it."""

    opened: Opened
    stream: int | None = None  # one that the archive has already
    left: FoundStream | None = None
    target: Target | None = None
    share: Share | None = None
    coded: CodedPhoto | None = None
    reason: str = ""
    already: bool = False
    keys: tuple["_Key", ...] = ()
    keeps: bool = False  # its file
    original: PackedOriginal | None = None

    @property
    def pixels(self) -> int:
        return 0 if self.opened.pixels is None else self.opened.pixels.shape[0] * self.opened.pixels.shape[1]


class Packer:
    """Packs photos into one archive that is being written.

    archive: what it holds already, where others are added. left: streams that an interrupted run left in the file.
    budget: the bytes for all streams, instead of the coder's target. keeper: keeps original files too.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        coder: PhotoCoder,
        *,
        archive: ArchiveReader | None = None,
        left: LeftStreams | None = None,
        budget: SizeBudget | None = None,
        threads: int | None = None,
        keeper: OriginalKeeper | None = None,
    ) -> None:
        self._keeper = keeper
        self._writer, self._coder, self._left, self._budget = writer, coder, left, budget
        self._archive = archive
        self._threads = threads or available_cores()
        self._by_file = {} if archive is None else _same_coding(archive, coder)
        # By the SHA-256 of pixels: the stream's number, or why there is none.
        self._streams: dict[bytes, int | str] = {}
        self._names: set[str] = set()
        self._first_of: dict[bytes, str] = {}  # names, by the SHA-256 of pixels
        self._plan = NO_PLAN
        self._keys: dict[str, _Key | None] = {}  # those that are written
        self._adopted: set[int] = set()  # where streams lie that were left and are used
        self.summary = PackSummary()

    def pack(
        self,
        photos: Iterable[InputPhoto],
        report: Callable[[PackSummary], None] = lambda _: None,
        plan: ArchivePlan = NO_PLAN,
    ) -> PackSummary:
        """Pack them all, in their order; photos that cannot be packed are named in the summary.

        report: called after each photo. plan: who refers to whom; key photos are packed first, and `photos` gone
        through twice. A photo whose key photos cannot be packed is coded without them.
        Raises SourceError if a source cannot be read, OSError if the archive cannot be written.
        """
        self._plan = self.summary.plan = plan
        if self._left is not None and self._budget is not None:
            for name, size in self._left.bytes_by_name.items():
                self._budget.lose(size if name not in self._budget else 0)
        self._keys = {key: self._key_there(key) for planned in plan.photos.values() for key in planned.keys}
        if self._keys:
            self._pack((photo for photo in photos if photo.name in self._keys), report)
        self._pack((photo for photo in photos if photo.name not in self._keys), report)
        unused = (
            []
            if self._left is None
            else [found.extent.length for found in self._left.streams.values() if found.extent.at not in self._adopted]
        )
        self.summary.unused, self.summary.unused_bytes = len(unused), sum(unused)
        return self.summary

    def _key_there(self, name: str) -> _Key | None:
        """A key photo that the archive has already; None for one that comes now."""
        if self._archive is None or name not in self._archive:
            return None
        return _Key(self._archive.member(name).stream, self._archive.streams(name)[0])

    def _pack(self, photos: Iterator[InputPhoto], report: Callable[[PackSummary], None]) -> None:
        opened = in_parallel(
            partial(open_photo, max_pixels=self._coder.max_pixels, carry=self._coder.settings.carry),
            photos,
            threads=min(_READERS, self._threads),
            prepare=lambda: None,
        )
        done = in_parallel(
            self._code, map(self._decide_all, opened), threads=self._threads, prepare=self._coder.prepare
        )
        for work in done:
            self._write(work)
            report(self.summary)

    def _decide_all(self, opened: Opened) -> _Work:
        """What there is to do for a photo, and for its file."""
        work = self._decide(opened)
        if self._keeper is None or work.reason or work.already:
            return work
        return replace(work, keeps=self._keeper.wants(opened))

    def _decide(self, opened: Opened) -> _Work:
        name = opened.photo.name
        if opened.reason:
            return _Work(opened, reason=opened.reason)
        if name in self._names:
            return self._refused(opened, "another photo is called so; rename one")
        self._names.add(name)
        self._first_of.setdefault(opened.picture, name)
        if opened.sha256 in self._by_file:
            self._streams.setdefault(opened.picture, self._by_file[opened.sha256])
        if self._archive is not None and name in self._archive:
            if self._archive.member(name).original_sha256 == opened.sha256:
                return self._without_stream(_Work(opened, already=True))
            return self._refused(opened, "the archive has another photo of that name; rename one")
        if opened.sha256 in self._by_file:
            return self._without_stream(_Work(opened, stream=self._by_file[opened.sha256]))
        if opened.picture in self._streams:
            return self._without_stream(_Work(opened))
        self._streams[opened.picture] = "it was not coded"
        planned = self._planned(opened)
        written = (self._keys[key] for key in planned.keys)
        keys = tuple(key for key in written if key is not None)
        left = None if self._left is None else self._left.find(self._label(opened, keys))
        if left is not None and self._writer.has_streams(left.label.keys):
            return self._without_stream(_Work(opened, left=left, keys=keys), left.extent.length)
        if self._budget is None:
            return _Work(opened, target=finer(self._coder.settings.target, planned.finer), keys=keys)
        self._lose(name)
        share = self._budget.share(name)
        return _Work(opened, target=Target(Metric.QUALITY, share.quality), share=share, keys=keys)

    def _refused(self, opened: Opened, reason: str) -> _Work:
        """For its name: that says nothing of other photos with its pixels."""
        return self._without_stream(_Work(replace(opened, picture=b""), reason=reason))

    def _planned(self, opened: Opened) -> PlannedPhoto:
        """Photos with the same pixels were planned as one, the first of them."""
        own, first = self._plan[opened.photo.name], self._plan[self._first_of[opened.picture]]
        return first if own.role is Role.ALONE and first.role is Role.REFERS else own

    def _without_stream(self, work: _Work, size: int = 0) -> _Work:
        if self._budget is not None:
            self._lose(work.opened.photo.name, size)
            self._budget.skip(work.opened.photo.name, size)
        return work

    def _lose(self, name: str, used: int = 0) -> None:
        """What an interrupted run left for a photo, and is not used, stays in the file."""
        if self._left is not None and self._budget is not None and name in self._budget:
            self._budget.lose(self._left.bytes_by_name[name] - used)

    def _code(self, work: _Work) -> _Work:
        """On any of the threads."""
        if work.keeps and self._keeper is not None:
            try:
                work = replace(work, original=self._keeper.packed(work.opened))
            except ImageError as error:
                return _Work(work.opened, reason=str(error), share=work.share)
        if work.target is None or work.opened.pixels is None:
            return work
        try:
            planned, keys = self._planned(work.opened), [key.stream for key in work.keys]
            try:
                coded = self._coder.code(work.opened.pixels, work.target, keys, effort=planned.effort)
            except TargetError:
                if work.share is not None or not planned.finer:
                    raise
                # A key photo that cannot be finer than asked for is as fine as asked for.
                coded = self._coder.code(work.opened.pixels, self._coder.settings.target, effort=planned.effort)
        except (ImageError, TargetError) as error:
            return _Work(work.opened, reason=str(error), share=work.share)
        return replace(work, coded=coded)

    def _write(self, work: _Work) -> None:
        opened, summary = work.opened, self.summary
        if work.share is not None and self._budget is not None:
            work = self._within_budget(work, work.share, self._budget)
        if work.reason:
            if opened.picture:
                self._streams[opened.picture] = work.reason
            summary.failed.append((opened.photo.name, work.reason))
            return
        if work.already:
            summary.already += 1
            return
        label = self._label(opened)
        if work.stream is not None:
            self._add(work, work.stream, label)
            summary.same += 1
        elif work.left is not None and self._left is not None:
            stream = self._left.source.read(work.left.extent.at, work.left.extent.length)
            number = self._writer.adopt_stream(stream, work.left.extent.at, work.left.label.keys)
            self._written(work, number, stream)
            self._adopted.add(work.left.extent.at)
            summary.reused += 1
            summary.referring += bool(work.left.label.keys)
            summary.stream_bytes += len(stream)
        elif work.coded is not None:
            data = work.coded.data
            parents = tuple(work.keys[place].number for place in work.coded.used)
            number = self._writer.add_stream(data, self._label(opened, work.keys), parents)
            self._written(work, number, data)
            summary.coded += 1
            summary.referring += bool(parents)
            summary.stream_bytes += len(data)
        else:
            found = self._streams[opened.picture]
            if isinstance(found, str):
                summary.failed.append((opened.photo.name, found))
                return
            self._add(work, found, label)
            summary.same += 1
        summary.original_bytes += opened.size

    def _within_budget(self, work: _Work, share: Share, budget: SizeBudget) -> _Work:
        size, most = 0 if work.coded is None else len(work.coded.data), budget.most(share)
        if size > most and work.opened.pixels is not None:
            work = self._squeezed(work, most)
        budget.spend(share, 0 if work.coded is None else len(work.coded.data), size)
        return work

    def _squeezed(self, work: _Work, most: float) -> _Work:
        """The photo in so many bytes: just within them, or, where no quality gives that, at one that takes less."""
        assert work.opened.pixels is not None, "coded before"
        rate = Target(Metric.BPP, max(_SQUEEZE * most, 1) * 8 / work.pixels)
        keys = [key.stream for key in work.keys]
        tries = [(rate, keys), *((Target(Metric.QUALITY, quality), keys) for quality in _SMALLER)]
        for target, offered in (*tries, (Target(Metric.QUALITY, QUALITY_MIN), [])):
            with suppress(TargetError):
                coded = self._coder.code(work.opened.pixels, target, offered)
                if len(coded.data) <= most:
                    return replace(work, target=target, coded=coded)
        return _Work(work.opened, reason="no bytes are left for it; give a larger --size")

    def _label(self, opened: Opened, keys: tuple[_Key, ...] = ()) -> Label:
        """What the stream is made of is hashed: the file, its plan, the key photos that are offered."""
        made_of = opened.sha256
        planned = self._planned(opened)
        if keys or planned.finer:
            plan = round(planned.finer * QUALITY_STEPS).to_bytes(2, "little") + bytes([planned.effort])
            made_of = sha256(made_of + plan + b"".join(sha256(key.stream) for key in keys))
        work = sha256(self._coder.settings.digest + made_of)
        return Label(work[:WORK_KEY_BYTES], opened.photo.name)

    def _written(self, work: _Work, number: int, stream: bytes) -> None:
        self._streams[work.opened.picture] = number
        if work.opened.photo.name in self._keys:
            self._keys[work.opened.photo.name] = _Key(number, stream)
        self._add(work, number)

    def _add(self, work: _Work, stream: int, label: Label | None = None) -> None:
        opened, photo = work.opened, work.opened.photo
        kept = None if self._keeper is None else self._keeper.kept(opened, work.original, self._writer)
        carried = pack_items(opened.metadata)
        member = MemberRow(photo.name, stream, opened.sha256, opened.size, photo.modified, photo.mode, carried, kept)
        self._writer.add_member(member, label)


def finer(target: Target, quality: float) -> Target:
    """A target that is better by so many steps of quality; a rate stays as it is.

    >>> finer(Target.choose(quality=80), 30).value
    100.0
    """
    if target.metric is Metric.QUALITY:
        return replace(target, value=min(target.value + quality, QUALITY_MAX))
    return replace(target, value=target.value + DECIBELS_PER_STEP * quality) if target.metric is Metric.PSNR else target


def _same_coding(archive: ArchiveReader, coder: PhotoCoder) -> dict[bytes, int]:
    """Streams that are what the coder would make, by the SHA-256 of the files that they were made from.

    And those of key photos, which are finer: one that is there takes nothing.
    """
    target = coder.settings.target
    if target.metric is not Metric.QUALITY or coder.settings.size is not None:
        return {}
    quality = round(target.value * QUALITY_STEPS)
    keys = set(archive.index.parent_numbers.tolist())
    return {
        member.original_sha256: member.stream
        for member, row in archive.members()
        if coder.settings.model.startswith(row.model)
        and (row.quality == quality or (row.quality > quality and member.stream in keys))
    }
