"""`python -m benchmarks.collections --model M`: what a collection costs with references, all bytes counted.

For each scene of the pack `collection-sites`, the photos of split `reference` become a dictionary, and those of split
`test` are coded with it, at each quality: with references as coded pictures of several qualities, with lossless ones
as earlier releases stored them, and alone. Beside that stands AVIF (4:4:4) of each photo at the same PSNR, and AVIF as
a video (libaom's inter coding), and x265 where it is on PATH: what one more frame takes after the three reference
photos nearest to it. `kept` is what a decoder has to keep beside the model, `pays after` how many photos it takes until
all of it is less than AVIF.

`--against OTHER` codes the same photos with another model, each with references of its own, and prints how much less
the first takes at equal PSNR, over the mean curves.

`--split reference` codes reference photos instead, each without the dictionary knowing it: to choose designs by.
"""

import argparse
import dataclasses
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from benchmarks.rivals import Pictures, Rival, at_decibels, rivals
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec, reference_latents
from clc.codec.codec import Codec
from clc.codec.references.artifact import ReferencesConfig, references
from clc.dictionary.build import build_dictionary
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.evaluation.compare.rate_difference import rate_difference, why_incomparable
from clc.images import EncodedPhoto, PhotoSource, open_source, read_photos
from clc.images.psnr import psnr
from clc.production.profile import load_profile
from clc.store import Kind, Store, Version, copy_version
from clc.store.shipped import LayeredStore

_PROFILE = "collection"
_PACK = "collection-sites"
_SCENES = ("museum", "ams", "pond", "handheld")
_VIDEO_REFERENCES = 3
_VIDEOS = ("AVIF video", "x265")
_RIVALS = ("AVIF", *_VIDEOS)
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


@dataclass(frozen=True)
class Without:
    """The photos of a source but one."""

    source: PhotoSource
    image_id: str

    @property
    def spec(self) -> str:
        """As the source's."""
        return f"{self.source.spec} without {self.image_id}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """As the source's."""
        others = (photo for photo in self.source.encoded() if photo.image_id != self.image_id)
        return islice(others, start, stop)


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
    parser.add_argument("--scenes", nargs="+", choices=_SCENES, default=_SCENES)
    parser.add_argument("--split", choices=("test", "reference"), default="test", help="photos that are coded")
    parser.add_argument("--limit", type=int, help="code the first LIMIT photos of a scene only")
    parser.add_argument("--reference-limit", type=int, help="use the first so many reference photos only")
    parser.add_argument("--qualities", type=float, nargs="+", default=(20.0, 50.0))
    parser.add_argument("--reference-qualities", type=float, nargs="+", default=(75.0, 90.0, 100.0))
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
    limit = f"&limit={options.reference_limit}" if options.reference_limit else ""
    shown = open_source(f"{pack(_PACK)}?scene={scene}&split=reference{limit}")
    coded = open_source(f"{pack(_PACK)}?scene={scene}&split={options.split}")
    rows: Rows = {}
    ways: list[Way] = []
    others: PhotoSource = shown
    number = 0
    for photo in islice(read_photos(coded, []), options.limit):
        number += 1
        if options.split == "reference":  # a photo must not be its own reference
            others = Without(shown, photo.image_id)
        if options.split == "reference" or not ways:
            ways = _ways(others, model, store, options)
        pictures = [each.pixels for each in read_photos(others, [])]
        nearest = sorted(pictures, key=lambda each: _distance(each, photo.pixels))[:_VIDEO_REFERENCES]
        for way in ways:
            for quality in options.qualities:
                rows.setdefault((way.name, quality), []).append(
                    _measured(photo.pixels, way, quality, nearest, options.rivals)
                )
    print(f"{scene}: {number} photos of split {options.split}, model {model.short_id}\n")
    heading = ("references", "kept", "quality", "bytes a photo", "dB", "AVIF", *_VIDEOS, "pays after")
    print_table(heading, [(name, *_row(quality, points)) for (name, quality), points in rows.items()])
    if len(options.qualities) > 1:
        _print_totals(rows)
    return rows


def _print_totals(rows: Rows) -> None:
    """Bytes of whole collections at one PSNR, which each way's mean curve is interpolated to, in the logarithm."""
    means: dict[str, list[NDArray[np.float64]]] = {}
    for (way, _), points in rows.items():
        means.setdefault(way, []).append(np.mean([(each.kept, each.bytes, each.decibels) for each in points], axis=0))
    curves = {way: np.array(points).T for way, points in means.items()}
    decibels = (max(each[2].min() for each in curves.values()) + min(each[2].max() for each in curves.values())) / 2
    totals = []
    for way, (kept, size, reached) in curves.items():
        photo = math.exp(np.interp(decibels, reached, np.log(size)))
        totals.append((way, f"{photo:,.0f}", *(f"{kept[0] + number * photo:,.0f}" for number in _COLLECTIONS)))
    print_table((f"references, at {decibels:.2f} dB", "a photo", *(f"{n:,} photos" for n in _COLLECTIONS)), totals)


def _measured(
    photo: NDArray[np.uint8], way: Way, quality: float, nearest: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> Point:
    data = way.codec.compress(photo, quality=quality, references=way.kept > 0)
    decibels = psnr(photo, way.codec.decompress(data))
    own = {rival.name: rival for rival in rivals() if rival.name in names}
    avif = math.nan
    if "AVIF" in own:
        avif = at_decibels(lambda quality: own["AVIF"].code(quality, [photo]), 1, 99, [photo], decibels)
    after = [_one_more(own[name], nearest, photo, decibels) if name in own else math.nan for name in _VIDEOS]
    return Point(way.kept, len(data), decibels, avif, *after)


def _row(quality: float, points: Sequence[Point]) -> tuple[str, ...]:
    means = np.mean([dataclasses.astuple(point) for point in points], axis=0).tolist()
    kept, size, decibels, avif, video, x265 = means
    pays = "-" if math.isnan(avif) else f"{math.ceil(kept / (avif - size)):,}" if avif > size else "never"
    others = (f"{each:,.0f}" for each in (avif, video, x265))
    return f"{kept:,.0f}", f"{quality:g}", f"{size:,.0f}", f"{decibels:.2f}", *others, pays


def _ways(shown: PhotoSource, model: Version, store: Store, options: argparse.Namespace) -> list[Way]:
    profile = load_profile(_PROFILE)
    dictionary = build_dictionary(
        shown,
        crop_config=profile.crop,
        feature_config=profile.features,
        reduce_config=profile.reduce.model_copy(update={"dim": 16}),
        cluster_config=profile.cluster,
        index_config=profile.index,
        store=store,
    ).version
    made = [Way("none", 0, open_codec(store, model))]
    for quality in options.reference_qualities:
        config = ReferencesConfig(quality=quality)
        version = references(dictionary, model, shown, config=config, store=store).version
        made.append(_way(f"coded at {quality:g}", store, model, dictionary, version))
    if options.lossless:
        version = reference_latents(dictionary, model, store=store).version
        made.append(_way("lossless", store, model, dictionary, version))
    return made


def _way(name: str, store: Store, model: Version, dictionary: Version, values: Version) -> Way:
    kept = sum(entry.bytes for entry in values.manifest.files.values())
    if values.kind is Kind.LATENTS:  # a decoder also keeps the dictionary, for the pictures of its entries
        kept += sum(entry.bytes for entry in dictionary.manifest.files.values())
    return Way(name, kept, open_encoder(store, model, dictionary, values=values)[0])


def _one_more(rival: Rival, before: Pictures, photo: NDArray[np.uint8], decibels: float) -> float:
    """Bytes that a video takes more with the photo behind those pictures, at the photo's PSNR."""

    def added(quality: int) -> tuple[int, Pictures]:
        size, shown = rival.code(quality, [*before, photo])
        return max(1, size - rival.code(quality, before)[0]), shown[-1:]

    return at_decibels(added, rival.worst, rival.best, [photo], decibels)


def _distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    if first.shape != second.shape:
        return math.inf
    return float(np.square(np.subtract(first, second, dtype=np.float32)).mean())


if __name__ == "__main__":
    main()
