"""The photos that the installed scikit-image and scikit-learn wheels carry: a source that needs no network.

Ten colour photos. The left view of the stereo pair is a reference and the right view a test photo, so that the pair
is a minimal related collection: what a dictionary saves on the right view comes from the left one.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto


@dataclass(frozen=True)
class _BundledFile:
    image_id: str
    package: str
    path: str
    source: str
    licence: str
    split: str = "reference"
    scene: str | None = None


_MIDDLEBURY = "Middlebury Stereo 2014, Motorcycle, down-sampled by 4 (Scharstein et al., GCPR 2014)"
_MIDDLEBURY_LICENCE = "not stated; Middlebury 2014 benchmark, redistributed with scikit-image"

# Sources and licences as the docstrings of `skimage.data` and scikit-learn's `datasets/images/README.txt` state them.
_FILES = (
    _BundledFile(
        "astronaut",
        "skimage",
        "data/astronaut.png",
        "NASA Great Images, Eileen Collins, https://flic.kr/p/r9qvLn",
        "public domain, no known copyright restrictions",
    ),
    _BundledFile("chelsea", "skimage", "data/chelsea.png", "Stefan van der Walt, scikit-image", "CC0", split="test"),
    _BundledFile(
        "china",
        "sklearn",
        "datasets/images/china.jpg",
        "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/",
        "CC-BY-2.0",
    ),
    _BundledFile("coffee", "skimage", "data/coffee.png", "Rachel Michetti, Pikolo Espresso Bar", "CC0"),
    _BundledFile(
        "flower",
        "sklearn",
        "datasets/images/flower.jpg",
        "vultilion, https://www.flickr.com/photos/vultilion/6056698931/",
        "CC-BY-2.0",
    ),
    _BundledFile(
        "hubble_deep_field",
        "skimage",
        "data/hubble_deep_field.jpg",
        "NASA, HubbleSite release 2012-37",
        "public domain (NASA)",
    ),
    _BundledFile(
        "motorcycle_left",
        "skimage",
        "data/motorcycle_left.png",
        _MIDDLEBURY,
        _MIDDLEBURY_LICENCE,
        scene="motorcycle",
    ),
    _BundledFile(
        "motorcycle_right",
        "skimage",
        "data/motorcycle_right.png",
        _MIDDLEBURY,
        _MIDDLEBURY_LICENCE,
        split="test",
        scene="motorcycle",
    ),
    _BundledFile(
        "retina",
        "skimage",
        "data/retina.jpg",
        "Mikael Häggström, Wikimedia Commons, Fundus_photograph_of_normal_left_eye.jpg",
        "CC0",
    ),
    _BundledFile(
        "rocket",
        "skimage",
        "data/rocket.jpg",
        "SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820/",
        "public domain (released by SpaceX)",
    ),
)

_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


class BundledSource:
    """The bundled photos, sorted by image_id; `split` is `reference` (8 photos) or `test` (2)."""

    spec = "bundled"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if scikit-image or scikit-learn, or a photo that it should carry, is not installed."""
        for file in _FILES[start:stop]:
            yield EncodedPhoto(
                file.image_id, _read(file), file.source, file.licence, split=file.split, scene=file.scene
            )


def _read(file: _BundledFile) -> bytes:
    # The package is located, not imported: `import sklearn.datasets` alone takes more than a second.
    package = importlib.util.find_spec(file.package)
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / file.path
        if path.is_file():
            return path.read_bytes()
    distribution = _DISTRIBUTIONS[file.package]
    raise SourceError(
        f"bundled: {file.path} of {distribution} is not installed; run: pip install --force-reinstall {distribution}"
    )
