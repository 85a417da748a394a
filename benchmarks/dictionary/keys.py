"""Keys of real photos in any number: search structures behave differently on synthetic vectors."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch.nn import functional as F

from benchmarks.data import pack
from clc.dictionary.backbone import OrientedGradients
from clc.dictionary.stages.features import spatial_pyramid_pool
from clc.images import open_source, read_photos
from clc.model.tiles import to_tensor

DIMENSION = 256
_PACKS = ("dictionary", "train-0", "train-1", "train-2")
_WINDOW = 8  # cells of 8 pixels
_LEVELS = (1, 2, 4, 8)  # 935 values: enough for 256 components
_SAMPLE = 20_000


def real_keys(number: int, *, seed: int = 0) -> NDArray[np.float32]:
    """`number` keys float32 [number, 256] of 64×64 windows of photos, 32 pixels apart, in random order.

    Ends the program if the packs do not have that many windows.
    """
    features = np.concatenate(list(_features(number)))[:number]
    if len(features) < number:
        raise SystemExit(f"the packs give {len(features)} windows only; ask for fewer keys")
    generator = np.random.default_rng(seed)
    basis = PCA(DIMENSION, random_state=seed).fit(features[generator.permutation(number)[:_SAMPLE]])
    keys = np.concatenate([basis.transform(part) for part in np.array_split(features, max(1, number // 20_000))])
    return keys[generator.permutation(number)].astype(np.float32)


@torch.inference_mode()
def _features(number: int) -> Iterator[NDArray[np.float32]]:
    """SPP features of the windows of one photo after the other: the same share of every photo."""
    gradients = OrientedGradients()
    found = 0
    for name in _PACKS:
        for photo in read_photos(open_source(pack(name)), []):
            height, width = (side // 8 * 8 for side in photo.pixels.shape[:2])
            cells = gradients(to_tensor(photo.pixels[None, :height, :width]))
            columns = F.unfold(cells, _WINDOW, stride=_WINDOW // 2)[0]  # [11·64, windows]
            windows = columns.T.unflatten(1, (cells.shape[1], _WINDOW, _WINDOW))
            yield spatial_pyramid_pool(windows, _LEVELS).numpy()
            found += len(windows)
            if found >= number:
                return
