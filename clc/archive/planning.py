"""The plan of an archive: which photos are key photos, how much finer they are coded, and who refers to them.

Nothing is coded for it. Thumbnails tell which photos resemble each other, and what that saves (`predicted_cost`). A
finer key photo also makes the photos better that refer to it, so costs are R + λD.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clc.archive.coding import PhotoCoder, finds_moved_cameras
from clc.archive.container import ArchiveReader
from clc.archive.forest import PredictedBytes, plan_forest
from clc.archive.inputs import InputPhoto
from clc.archive.names import printable
from clc.archive.opened import Opened, open_photo
from clc.archive.packer import PackSummary
from clc.archive.plan import DECIBELS_PER_STEP, NO_PLAN, ArchivePlan, Plan, PlannedPhoto
from clc.dictionary.retrieval.predicted_cost import DISTORTION, cost_given, is_helped, rate_finer, rate_given
from clc.dictionary.retrieval.resemblance import Resemblance, resemblance, thumbnail
from clc.errors import ArchiveError, BitstreamError
from clc.model.gain import lagrangian
from clc.model.limits import MAX_REFERENCES, QUALITY_MAX, QUALITY_MIN
from clc.runtime.cores import available_cores
from clc.runtime.freed_memory import give_back_freed_memory
from clc.runtime.prefetch import in_parallel
from clc.runtime.remarks import remark

# Of what a key photo gains by being finer, to a photo that it explains all of; more than all, because thumbnails
# explain less than what is blended.
_PASSED_ON = 1.3
_TYPICAL = 20.0  # steps that a key photo is finer, where it is not known yet how many will refer to it
_MOST = 80.0
_MOST_EFFORT = 3  # for a key photo; a step for each photo that it serves, so that the time for all hardly grows
_LEAST_PIXELS = 64 * 64  # to refer to another photo takes some bytes, which those of a smaller one do not pay
_FEW = 64  # photos of an archive that are all decoded to be compared with what is added
_DAMAGED = "damaged in the archive, so that nothing that is added refers to it; `clc verify` tells more"


def plan_for(
    photos: Iterable[InputPhoto],
    coder: PhotoCoder,
    report: Callable[[PackSummary], None] = lambda _: None,
    threads: int | None = None,
    archive: ArchiveReader | None = None,
) -> ArchivePlan:
    """What is to become of photos: compared with each other, where the coder takes key photos.

    report: called after each photo. archive: to which they are added; its key photos may serve them too.
    Raises SourceError if a source cannot be read.
    """
    if not coder.takes_keys:
        return NO_PLAN
    threads = threads or available_cores()
    names: list[str] = []
    thumbnails: list[NDArray[np.uint8]] = []
    for name, stream in [] if archive is None else _key_photos(archive, coder.settings.model):
        try:
            thumbnails.append(thumbnail(coder.decode(stream)))
            names.append(name)
        except BitstreamError:
            remark(printable(name), _DAMAGED)
    there = len(names)
    pictures: set[bytes] = set()
    reading = partial(_looked_at, coder=coder)
    for number, (opened, small) in enumerate(in_parallel(reading, iter(photos), threads=threads, prepare=_one_thread)):
        report(PackSummary(looked_at=number + 1))
        if small is not None and opened.picture not in pictures:
            pictures.add(opened.picture)
            names.append(opened.photo.name)
            thumbnails.append(small)
    if len(names) < 2:
        return NO_PLAN
    seen = resemblance(thumbnails, moved=finds_moved_cameras(), threads=threads)
    del thumbnails
    give_back_freed_memory()
    return planned(names, seen, there)


def _key_photos(archive: ArchiveReader, model: str) -> Iterator[tuple[str, bytes]]:
    """Names and streams of the photos that others may refer to: those that some do already, or, where there are few,
    all that were coded alone. By this model only.
    """
    rows = {row.extent.at: (member.name, row) for member, row in archive.members() if model.startswith(row.model)}
    keys = {archive.index.stream(parent).extent.at for _, row in rows.values() for parent in row.parents}
    alone = {at for at, (_, row) in rows.items() if not row.parents}
    for at in sorted(alone if len(alone) <= _FEW else keys & alone):
        name, row = rows[at]
        try:
            yield name, archive.stream(row, name)
        except ArchiveError:
            remark(printable(name), _DAMAGED)


def planned(names: Sequence[str], seen: Resemblance, there: int = 0) -> ArchivePlan:
    """The plan for photos of these names, by how they resemble each other.

    there: how many of them, the first, are coded already, alone: they cost nothing more, and can only be referred to.
    """
    result: dict[str, PlannedPhoto] = {}
    for group in _groups(seen):
        left = seen.among(group)
        plan = plan_forest(_predicted(seen.cost[group], left, group < there), most=MAX_REFERENCES)
        for photo, keys in enumerate(plan.references):
            if keys:
                share = float(rate_given(left[photo, list(keys)].min()))
                named = tuple(names[group[key]] for key in keys)
                result[names[group[photo]]] = PlannedPhoto(named, share=share)
        served = Counter(key for keys in plan.references for key in keys)
        for key, steps in _finer(plan, left).items():
            if group[key] >= there:
                share, effort = rate_finer(steps), min(served[key], _MOST_EFFORT)
                result[names[group[key]]] = PlannedPhoto(finer=steps, effort=effort, share=share)
    return ArchivePlan(result, dict(zip(names, seen.cost.tolist(), strict=True)))


def _groups(seen: Resemblance) -> Iterator[NDArray[np.int64]]:
    """Photos of which each helps another, or is helped: the plans of two groups have nothing to do with each other."""
    related: list[set[int]] = [set() for _ in seen.cost]
    helps = is_helped(seen.left, seen.cost[:, None], seen.cost[seen.others])
    for photo, place in zip(*np.nonzero(helps), strict=True):
        other = int(seen.others[photo, place])
        related[photo].add(other)
        related[other].add(int(photo))
    grouped: set[int] = set()
    for photo, helped in enumerate(related):
        if not helped or photo in grouped:
            continue
        group, coming = {photo}, [photo]
        while coming:
            new = related[coming.pop()] - group
            group |= new
            coming += new
        grouped |= group
        yield np.array(sorted(group))


def _predicted(cost: NDArray[np.float64], left: NDArray[np.float64], there: NDArray[np.bool_]) -> PredictedBytes:
    given = np.where(is_helped(left, cost[:, None], cost), cost[:, None] * cost_given(left), np.inf)
    key = rate_finer(_TYPICAL) + DISTORTION * 10 ** (-DECIBELS_PER_STEP * _TYPICAL / 10)
    cost = np.where(there, 0.0, cost)
    given[there] = np.inf
    return PredictedBytes(cost * (1 + DISTORTION), cost * key, given)


def _finer(plan: Plan, left: NDArray[np.float64]) -> Mapping[int, float]:
    """Steps of quality by which each key photo is finer than the others.

    What is wrong in a key photo is wrong in the photos that refer to it, as far as it explains them: its own λ is that
    of the others times one more than the photos that it passes its errors on to. So do video coders (macroblock tree).
    """
    helped = dict.fromkeys(plan.keys, 0.0)
    for photo, keys in enumerate(plan.references):
        if keys:
            helped[keys[0]] += _PASSED_ON * (1.0 - float(left[photo, keys[0]]))
    per_step = math.log(lagrangian(QUALITY_MAX) / lagrangian(QUALITY_MIN)) / (QUALITY_MAX - QUALITY_MIN)
    return {key: min(max(round(math.log1p(photos) / per_step), 1), _MOST) for key, photos in helped.items()}


def _looked_at(photo: InputPhoto, *, coder: PhotoCoder) -> tuple[Opened, NDArray[np.uint8] | None]:
    """A photo, and its thumbnail if it is large enough to be compared."""
    opened = open_photo(photo, max_pixels=coder.max_pixels, carry=coder.settings.carry)
    if opened.pixels is None or opened.pixels[..., 0].size < _LEAST_PIXELS:
        return opened.without_pixels(), None
    return opened.without_pixels(), thumbnail(opened.pixels)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
