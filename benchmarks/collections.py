"""`python -m benchmarks.collections --model M`: what a collection costs with references, all bytes counted.

For each scene of the pack `collection-sites`, the photos of split `reference` become a dictionary, as far as they save
more than they take if `--meant-for` photos are coded (default: 100, as in profile `collection`), and those of split
`test` are coded with it, at each quality: with references as coded pictures of several qualities, with lossless ones
as earlier releases stored them, and alone. Beside that stands AVIF (4:4:4) of each photo at the same PSNR, and AVIF as
a video (libaom's inter coding), and x265 where it is on PATH: what one more frame takes after the three reference
photos nearest to it. `kept` is what a decoder has to keep beside the model, `pays after` how many photos it takes until
all of it is less than AVIF. With several qualities, a second table has the bytes of whole collections at some PSNRs.

`--against OTHER` codes the same photos with another model, each with references of its own, and prints how much less
the first takes at equal PSNR, over the mean curves.

`--split reference` codes every third reference photo instead, and the dictionary is made of the others: to choose
designs by.
"""

import argparse
import dataclasses
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import pack
from benchmarks.held_out import Part
from benchmarks.printing import print_machine, print_table
from benchmarks.rivals import Pictures, Rival, at_decibels, rivals
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec, reference_latents
from clc.codec.codec import Codec
from clc.codec.references.artifact import ReferencesConfig, references
from clc.codec.references.coded import shared_pictures
from clc.dictionary.build import build_dictionary
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.evaluation.compare.rate_difference import rate_difference, why_incomparable
from clc.images import PhotoSource, open_source, read_photos
from clc.images.psnr import psnr
from clc.production.profile import load_profile
from clc.store import Kind, Store, Version, copy_version
from clc.store.shipped import LayeredStore

_PROFILE = "collection"
_PACK = "collection-sites"
SCENES = ("museum", "ams", "pond", "handheld")
_VIDEO_REFERENCES = 3
_VIDEOS = ("AVIF video", "x265")
_RIVALS = ("AVIF", *_VIDEOS)
_LOSSLESS = "lossless"
_COLLECTIONS = (20, 100, 1000)  # photos


@dataclass(frozen=True)
class Way:
    """How the photos of a scene are coded. kept: bytes that a decoder keeps for it; 0 without references."""

    name: str
    kept: int
    codec: Codec


@dataclass(frozen=True)
class Point:
    """Of one photo: bytes kept for all photos, its own, its PSNR, and bytes of its rivals at that PSNR.

    A rival is not a number where it is not there, or was not asked for.
    """

    kept: float
    bytes: float
    decibels: float
    avif: float
    video: float
    x265: float


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collections",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT, help="model version; default: as clc.load")
    parser.add_argument("--against", help="a model that is measured, too, and compared with")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--split", choices=("test", "reference"), default="test", help="photos that are coded")
    parser.add_argument("--limit", type=int, help="code the first LIMIT photos of a scene only")
    parser.add_argument("--reference-limit", type=int, help="use the first so many reference photos only")
    parser.add_argument("--meant-for", type=int, help="photos that references are chosen for; 0: all are kept")
    parser.add_argument("--qualities", type=float, nargs="+", default=(20.0, 50.0))
    parser.add_argument("--reference-qualities", type=float, nargs="+", default=(75.0, 90.0, 100.0))
    parser.add_argument("--decibels", type=float, nargs="+", help="of the second table; default: three that all reach")
    parser.add_argument("--rivals", nargs="*", choices=_RIVALS, default=_RIVALS, help="the others say nan")
    parser.add_argument("--lossless", action="store_true", help="also with lossless references")
    parser.add_argument("--work", type=Path, help="folder for the store that is built; default: a temporary one")
    options = parser.parse_args()

    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        work = LayeredStore(options.work or Path(folder))
        named = [options.model, *([options.against] if options.against else [])]
        models = [copy_version(find_model(LayeredStore(options.store), name), work) for name in named]
        for scene in options.scenes:
            measured = [_measure_scene(scene, model, work, options) for model in models]
            if options.against:
                _compare(*measured)


Rows = dict[tuple[str, float], list[Point]]


def _compare(own: Rows, other: Rows) -> None:
    """The rate of one model's files at equal PSNR against another's, for each way."""

    def curve(rows: Rows, way: str) -> list[tuple[float, float]]:
        points = [each for (name, _), each in rows.items() if name == way]
        return [
            (statistics.fmean(p.bytes for p in each), statistics.fmean(p.decibels for p in each)) for each in points
        ]

    for way in dict.fromkeys(name for name, _ in own):
        curves = curve(other, way), curve(own, way)
        found = rate_difference(*curves)
        said = f"{100 * found.mean:+.1f} %" if found else f"none: {why_incomparable(*curves)}"
        print(f"references {way}: rate at equal PSNR against --against {said}")
    print()


def _measure_scene(scene: str, model: Version, store: Store, options: argparse.Namespace) -> Rows:
    shown, coded = parts(scene, options.split, options.reference_limit)
    ways = coding_ways(shown, model, store, options.reference_qualities, options.meant_for, options.lossless)
    pictures = [each.pixels for each in read_photos(shown, [])]
    rows: Rows = {}
    number = 0
    for photo in islice(read_photos(coded, []), options.limit):
        number += 1
        nearest = sorted(pictures, key=lambda each: _distance(each, photo.pixels))[:_VIDEO_REFERENCES]
        beside = Beside(photo.pixels, nearest, options.rivals)
        for way in ways:
            for quality, point in zip(
                options.qualities, _measured(photo.pixels, way, options.qualities, beside), strict=True
            ):
                rows.setdefault((way.name, quality), []).append(point)
    print(
        f"{scene}: {number} photos of split {options.split}, {len(pictures)} others to choose references from, "
        f"model {model.short_id}\n"
    )
    heading = ("references", "kept", "quality", "bytes a photo", "dB", "AVIF", *_VIDEOS, "pays after")
    print_table(heading, [(name, *_row(quality, points)) for (name, quality), points in rows.items()])
    if len(options.qualities) > 1:
        print_table(*totals(rows, options.decibels))
    return rows


def parts(scene: str, split: str, limit: int | None) -> tuple[PhotoSource, PhotoSource]:
    """The photos of a scene that the dictionary is made of, the first `limit` of them, and those that are coded."""
    reference = open_source(f"{pack(_PACK)}?scene={scene}&split=reference")
    if split == "reference":  # a photo must not be its own reference
        return Part(reference, held_out=False, limit=limit), Part(reference, held_out=True)
    few = f"&limit={limit}" if limit else ""
    return (
        open_source(f"{pack(_PACK)}?scene={scene}&split=reference{few}"),
        open_source(f"{pack(_PACK)}?scene={scene}&split={split}"),
    )


def totals(rows: Rows, at: Sequence[float] | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heading and rows of a table: bytes of whole collections at some PSNRs, and the rate against lossless references.

    at: those PSNRs; None for three that divide what all ways with references reach into four. Each way's mean curve is
    interpolated in the logarithm of the bytes; "-" for a PSNR that it does not reach.
    """
    means: dict[str, list[NDArray[np.float64]]] = {}
    for (way, _), points in rows.items():
        means.setdefault(way, []).append(np.mean([(each.kept, each.bytes, each.decibels) for each in points], axis=0))
    curves = {way: np.array(points).T for way, points in means.items()}
    compared = [reached for kept, _, reached in curves.values() if kept[0]] or [each[2] for each in curves.values()]
    common = max(each.min() for each in compared), min(each.max() for each in compared)
    found = []
    for decibels in np.linspace(*common, 5)[1:-1] if at is None else at:
        for way, (kept, size, reached) in curves.items():
            if reached.min() <= decibels <= reached.max():
                photo = math.exp(np.interp(decibels, reached, np.log(size)))
                sizes = [f"{each:,.0f}" for each in (photo, *(kept[0] + n * photo for n in _COLLECTIONS))]
            else:
                sizes = ["-"] * (1 + len(_COLLECTIONS))
            against = [_against(curves[_LOSSLESS], curves[way])] if _LOSSLESS in curves else []
            found.append((f"{decibels:.2f}", way, *sizes, *against))
    heading = ("dB", "references", "a photo", *(f"{n:,} photos" for n in _COLLECTIONS))
    return (*heading, *(["rate, against lossless"] if _LOSSLESS in curves else [])), found


def _against(anchor: NDArray[np.float64], own: NDArray[np.float64]) -> str:
    difference = rate_difference(*([(size, reached) for _, size, reached in each.T.tolist()] for each in (anchor, own)))
    return f"{100 * difference.mean:+.1f} %" if difference else "-"


class Beside:
    """What rivals take for one photo uint8 [H, W, 3], each quality of them coded once however many PSNRs are asked for.

    before: what a video shows first; names: of the rivals that are asked for.
    """

    def __init__(self, photo: NDArray[np.uint8], before: Pictures, names: Sequence[str]) -> None:
        self._photo = photo
        self._before = before
        self._rivals = {rival.name: rival for rival in rivals() if rival.name in names}
        self._codings = {name: lru_cache(maxsize=None)(self._coding(rival)) for name, rival in self._rivals.items()}

    def bytes(self, name: str, decibels: float) -> float:
        """At a PSNR: of a file, or by how much a video grows. Not a number for a rival that is not there or asked for,
        or does not reach it.
        """
        if name not in self._rivals:
            return math.nan
        rival = self._rivals[name]
        return at_decibels(self._codings[name], rival.worst, rival.best, [self._photo], decibels)

    def _coding(self, rival: Rival) -> Callable[[int], tuple[int, Pictures]]:
        before = self._before if rival.name in _VIDEOS else []

        def coding(quality: int) -> tuple[int, Pictures]:
            size, shown = rival.code(quality, [*before, self._photo])
            return max(1, size - (rival.code(quality, before)[0] if before else 0)), shown[-1:]

        return coding


def _measured(photo: NDArray[np.uint8], way: Way, qualities: Sequence[float], beside: Beside) -> list[Point]:
    """One point a quality. References are found once."""
    analysis = way.codec.encoder.analyse(photo, references=way.kept > 0)
    points = []
    for quality in qualities:
        data = way.codec.encoder.code(analysis, quality).data
        decibels = psnr(photo, way.codec.decompress(data))
        points.append(Point(way.kept, len(data), decibels, *(beside.bytes(name, decibels) for name in _RIVALS)))
    return points


def _row(quality: float, points: Sequence[Point]) -> tuple[str, ...]:
    means = np.mean([dataclasses.astuple(point) for point in points], axis=0).tolist()
    kept, size, decibels, avif, video, x265 = means
    pays = "-" if math.isnan(avif) else f"{math.ceil(kept / (avif - size)):,}" if avif > size else "never"
    others = (f"{each:,.0f}" for each in (avif, video, x265))
    return f"{kept:,.0f}", f"{quality:g}", f"{size:,.0f}", f"{decibels:.2f}", *others, pays


def coding_ways(
    shown: PhotoSource,
    model: Version,
    store: Store,
    qualities: Sequence[float],
    meant_for: int | None = None,
    lossless: bool = False,
) -> list[Way]:
    """Without references, with a dictionary of photos coded at each of the qualities, and with lossless ones.

    meant_for: photos that references are chosen for; None: as the profile says; 0: all are kept.
    """
    dictionary = collection_dictionary(shown, store, meant_for)
    made = [Way("none", 0, open_codec(store, model))]
    for quality in qualities:
        config = ReferencesConfig(quality=quality)
        version = references(dictionary, model, shown, config=config, store=store, pictures=shared_pictures()).version
        made.append(_way(f"coded at {quality:g}", store, model, dictionary, version))
    if lossless:
        version = reference_latents(dictionary, model, store=store).version
        made.append(_way(_LOSSLESS, store, model, dictionary, version))
    return made


def collection_dictionary(shown: PhotoSource, store: Store, meant_for: int | None) -> Version:
    """As profile `collection` makes it, with small keys. meant_for: as for `coding_ways`."""
    profile = load_profile(_PROFILE)
    crop = profile.crop if meant_for is None else profile.crop.model_copy(update={"meant_for": meant_for or None})
    return build_dictionary(
        shown,
        crop_config=crop,
        feature_config=profile.features,
        reduce_config=profile.reduce.model_copy(update={"dim": 16}),
        cluster_config=profile.cluster,
        index_config=profile.index,
        store=store,
    ).version


def _way(name: str, store: Store, model: Version, dictionary: Version, values: Version) -> Way:
    kept = sum(entry.bytes for entry in values.manifest.files.values())
    if values.kind is Kind.LATENTS:  # a decoder also keeps the dictionary, for the pictures of its entries
        kept += sum(entry.bytes for entry in dictionary.manifest.files.values())
    return Way(name, kept, open_encoder(store, model, dictionary, values=values)[0])


def _distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    if first.shape != second.shape:
        return math.inf
    return float(np.square(np.subtract(first, second, dtype=np.float32)).mean())


if __name__ == "__main__":
    main()
