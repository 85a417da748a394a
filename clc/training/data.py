"""Training crops, and batches that depend on nothing but the seed and the step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.codec.tiles import TILE_SIZE
from clc.errors import TrainingError
from clc.images.patch import decode_patches
from clc.store import Version

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Batch:
    """One step's crops.

    pixels: uint8 [B, s, s, 3]; rows: int64 [B], which crop each was cut from; mirrored: bool [B], whether left and
    right were swapped; quality: the rate to train for.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    quality: float


class TrainingSet:
    """Decoded crops uint8 [N, S, S, 3] with the dictionary entries int64 [N, M] assigned to each.

    crops: a version of kind `patches`; assignments: the version that was retrieved for exactly these crops.
    Raises TrainingError if they do not belong together or the crops are smaller than a tile.
    """

    def __init__(self, crops: Version, assignments: Version) -> None:
        if crops.ref not in assignments.manifest.recipe.inputs.values():
            raise TrainingError(
                f"{assignments} was not retrieved for {crops}; run the assignments stage for these crops"
            )
        batches = crops.batches("patches", columns=["image"], batch_rows=_BATCH_ROWS)
        self.pixels = np.concatenate([decode_patches(batch.column("image")) for batch in batches])
        if self.pixels.shape[1] < TILE_SIZE:
            raise TrainingError(
                f"{crops} holds crops of {self.pixels.shape[1]} pixels; training needs {TILE_SIZE} or more"
            )
        entries = assignments.table("assignments")["entries"].combine_chunks()
        self.entries = entries.flatten().to_numpy().reshape(len(entries), -1).astype(np.int64)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, generator: np.random.Generator, *, size: int, crop: int, quality: tuple[float, float]) -> Batch:
        """`size` windows of crop × crop pixels, each mirrored or not, from crops drawn with replacement."""
        rows = generator.integers(len(self), size=size)
        offsets = generator.integers(self.pixels.shape[1] - crop + 1, size=(size, 2))
        mirrored = generator.random(size) < 0.5
        windows = []
        for row, (y, x), flip in zip(rows, offsets, mirrored, strict=True):
            window = self.pixels[row, y : y + crop, x : x + crop]
            windows.append(window[:, ::-1] if flip else window)
        return Batch(np.stack(windows), rows, mirrored, float(generator.uniform(*quality)))
