"""What a size for a whole archive is divided among: what each photo is expected to take, tried on a few of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from clc.archive.archive_index import pack_index
from clc.archive.coding import PhotoCoder
from clc.archive.contents import Extent, MemberRow, StreamRow
from clc.archive.framing import FOOTER_BYTES, HEADER_BYTES, WORK_KEY_BYTES, Label, RecordHead, RecordKind
from clc.archive.inputs import InputPhoto, Inputs
from clc.archive.opened import open_photo
from clc.archive.plan import ArchivePlan
from clc.archive.size import QUALITIES, Expected, SizeBudget
from clc.codec.decisions.targets import Metric, Target
from clc.codec.metadata_section import pack_items
from clc.errors import ImageError, TargetError
from clc.runtime.prefetch import in_parallel

_SAMPLE = 6  # photos that are coded beforehand, at most, and at most every second
_FEW = 3  # of which all are: a wrong prediction of one is paid for by few others
_RATE = QUALITIES.index(40.0)  # the quality that tells how much the sample weighs
_TIGHT = 2.5  # times what the smallest quality may take: with fewer bytes, that is tried for each photo
_PER_PIXEL = 0.75  # a photo of twice the pixels takes so many doublings more bytes


@dataclass(frozen=True)
class _Seen:
    """A photo that was looked at. picture: SHA-256 of its pixels."""

    photo: InputPhoto
    height: int
    width: int
    picture: bytes
    original_bytes: int
    carried: bytes


def budget_for(inputs: Inputs, coder: PhotoCoder, size: int, plan: ArchivePlan, threads: int) -> SizeBudget:
    """The budget of an archive of `size` bytes, its index and all that photos carry included.

    Each photo is decoded once, and up to six, or all of three, are coded, alone, at six qualities. Where bytes are few,
    each is coded at the smallest one: so none is lost.
    Raises TargetError if that is too little, SourceError if a source cannot be read.
    """
    looking = partial(_looked_at, coder=coder)
    found = in_parallel(looking, iter(inputs), threads=threads, prepare=lambda: None)
    seen = list({each.photo.name: each for each in found if each is not None}.values())
    beside = _beside_streams(seen, plan, coder.settings.model, size)
    if beside >= size:
        raise TargetError(f"{size:,} bytes do not even hold an index of {len(seen)} photos; give a larger --size")
    first = list({each.picture: each for each in reversed(seen)}.values())[::-1]
    expected = {each.photo.name: _expected(each, plan) for each in first}
    sample = first[:: max(1 if len(first) <= _FEW else 2, len(first) // _SAMPLE)][:_SAMPLE]
    trying = partial(_bytes_at, coder=coder, qualities=QUALITIES)
    tried = in_parallel(trying, (each.photo for each in sample), threads=threads, prepare=coder.prepare)
    known = {each.photo.name: sizes for each, sizes in zip(sample, tried, strict=True) if sizes}
    sizes = np.array(list(known.values()), np.float64).reshape(-1, len(QUALITIES))
    weights = np.array([expected[name].weight for name in known])
    rates = sizes.sum(axis=0) / max(weights.sum(), 1e-9)
    for name, own in known.items():  # what they take is known, and all of them together weigh as much as before
        expected[name] = replace(expected[name], weight=own[_RATE] / max(rates[_RATE], 1e-9))
    spread = float((sizes[:, 0] / weights / rates[0]).max(initial=1.0))
    least = float(rates[0]) * spread * sum(each.weight for each in expected.values())
    if _TIGHT * least > size - beside:
        measuring = partial(_bytes_at, coder=coder, qualities=QUALITIES[:1])
        measured = in_parallel(measuring, (each.photo for each in first), threads=threads, prepare=coder.prepare)
        for each, tried_least in zip(first, measured, strict=True):
            name = each.photo.name
            expected[name] = replace(expected[name], least=sum(tried_least))
    return SizeBudget(size - beside, expected, rates, float(sizes[:, _RATE].sum()), spread)


def _looked_at(photo: InputPhoto, *, coder: PhotoCoder) -> _Seen | None:
    """None for a photo that cannot be read, which the packing will name."""
    opened = open_photo(photo, max_pixels=coder.max_pixels, carry=coder.settings.carry)
    if opened.pixels is None:
        return None
    height, width = opened.pixels.shape[:2]
    return _Seen(photo, height, width, opened.picture, opened.size, pack_items(opened.metadata))


def _expected(seen: _Seen, plan: ArchivePlan) -> Expected:
    planned = plan[seen.photo.name]
    cost = plan.costs.get(seen.photo.name, 1.0)
    # A photo of one colour costs nothing by its thumbnail, and still takes a file.
    weight = (cost + 1e-3 * max(plan.costs.values(), default=1.0)) * (seen.height * seen.width) ** _PER_PIXEL
    return Expected(weight, min(planned.share, 1.0) if planned.keys else 1.0, planned.finer)


def _bytes_at(photo: InputPhoto, *, coder: PhotoCoder, qualities: Sequence[float]) -> list[int]:
    """Nothing for a photo that cannot be coded."""
    opened = open_photo(photo, max_pixels=coder.max_pixels)
    if opened.pixels is None:
        return []
    try:
        return [len(coder.code(opened.pixels, Target(Metric.QUALITY, quality)).data) for quality in qualities]
    except ImageError:
        return []


def _beside_streams(seen: Sequence[_Seen], plan: ArchivePlan, model: str, size: int) -> int:
    """Bytes of everything but the streams, at most: as if these were of any lengths, qualities and places."""
    chance = np.random.default_rng(0)
    lengths, qualities = (chance.integers(0, 2 ** (8 * width), len(seen)) for width in (_width(size), 2))
    places = chance.integers(
        0, max(len(seen), 1), (len(seen), max((len(plan[each.photo.name].keys) for each in seen), default=0))
    )
    streams, members, heads, at = [], [], RecordHead(RecordKind.SETTINGS, bytes(WORK_KEY_BYTES), 0).size, HEADER_BYTES
    for number, each in enumerate(seen):
        photo, keys = each.photo, plan[each.photo.name].keys
        label = Label(bytes(WORK_KEY_BYTES), photo.name, (size,) * len(keys))
        head = RecordHead(label.kind, label.pack(), size).size
        heads, at = heads + head, at + head
        extent = Extent(at, int(lengths[number]))
        at = extent.end
        parents = tuple(places[number, : len(keys)].tolist())
        streams.append(StreamRow(extent, bytes(16), model, each.height, each.width, int(qualities[number]), parents))
        row = MemberRow(photo.name, number, bytes(32), each.original_bytes, photo.modified, photo.mode, each.carried)
        members.append(row)
    index = len(pack_index(streams, members))
    return HEADER_BYTES + heads + RecordHead(RecordKind.INDEX, b"", index).size + index + FOOTER_BYTES


def _width(number: int) -> int:
    """Bytes that hold it."""
    return (number.bit_length() + 7) // 8
