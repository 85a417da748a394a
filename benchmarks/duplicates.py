"""`CLC_DATA=… python -m benchmarks.duplicates`: how far apart perceptual hashes of the same and of other photos are."""

import io
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import pack
from clc.images import open_source, read_photos
from clc.images.hashes import NEAR_DUPLICATE_BITS, differing_bits, perceptual_hash

_PACKS = ("kodak", "dictionary", "train-0")


def main() -> None:
    """Entry point."""
    kodak = [photo.pixels for photo in read_photos(open_source(pack("kodak")), [])]
    originals = [perceptual_hash(pixels) for pixels in kodak]
    print(f"taken for the same photo: up to {NEAR_DUPLICATE_BITS} bits\n\n| of Kodak | most bits |\n|---|---|")
    for file_format, part in (("JPEG", 1), ("WEBP", 1), ("JPEG", 2)):
        again = [perceptual_hash(_encoded(pixels, file_format, part)) for pixels in kodak]
        most = differing_bits(originals, again).diagonal().max()
        print(f"| {file_format} at quality 30, 1/{part} of the size | {most} |")
    hashes = {name: _hashes(pack(name)) for name in _PACKS}
    print("\n| photos of different packs | fewest bits |\n|---|---|")
    for one, other in combinations(_PACKS, 2):
        print(f"| {one}, {other} | {differing_bits(hashes[one], hashes[other]).min()} |")
    print("\n| two photos of one camera | fewest bits | median |\n|---|---|---|")
    for scene in ("museum", "ams", "pond", "handheld"):
        same = _hashes(f"{pack('collection-sites')}?scene={scene}")
        bits = differing_bits(same, same)[np.triu_indices(len(same), 1)]
        print(f"| {scene} | {bits.min()} | {np.median(bits):.0f} |")


def _hashes(spec: str) -> list[bytes]:
    return [perceptual_hash(photo.pixels) for photo in read_photos(open_source(spec), [])]


def _encoded(pixels: NDArray[np.uint8], file_format: str, part: int) -> NDArray[np.uint8]:
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image.resize((image.width // part, image.height // part)).save(buffer, file_format, quality=30)
    return np.asarray(Image.open(buffer).convert("RGB"))


if __name__ == "__main__":
    main()
