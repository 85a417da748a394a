"""Where crops are cut: windows of tile size in training photos, and the dictionary entries assigned to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.errors import TrainingError
from clc.images import grid_positions
from clc.model.tiles import TILE_SIZE
from clc.store import Version
from clc.training.data.decoded_photos import TrainingPhoto


@dataclass(frozen=True)
class Windows:
    """Row i is the 256×256 window at (x[i], y[i]) of photo `photo[i]`.

    entries: int64 [n, M], the references retrieved for each; None for a model that takes none from a dictionary.
    """

    photo: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    entries: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.photo)

    def of_photos(self, chosen: NDArray[np.bool_]) -> "Windows":
        """The windows of the photos that `chosen` [photos] marks."""
        rows = chosen[self.photo]
        entries = None if self.entries is None else self.entries[rows]
        return Windows(self.photo[rows], self.x[rows], self.y[rows], entries)


def grid_windows(photos: Sequence[TrainingPhoto]) -> Windows:
    """A grid of windows that covers every photo; smaller photos have none."""
    rows = [
        (number, x, y)
        for number, photo in enumerate(photos)
        for x, y in grid_positions(*photo.pixels.shape[:2], size=TILE_SIZE, stride=TILE_SIZE)
    ]
    photo, x, y = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Windows(photo, x, y, None)


def assigned_windows(photos: Sequence[TrainingPhoto], assignments: Version) -> Windows:
    """The windows that references were retrieved for. Raises TrainingError if that was for other photos."""
    table = assignments.table("assignments")
    numbers = {photo.sha256: number for number, photo in enumerate(photos)}
    try:
        photo = np.array([numbers[sha256] for sha256 in table["photo_sha256"].to_pylist()], dtype=np.int64)
    except KeyError as error:
        raise TrainingError(
            f"{assignments} was retrieved for other photos than these; run the assignments stage for them"
        ) from error
    entries = table["entries"].combine_chunks()
    return Windows(
        photo,
        table["x"].to_numpy().astype(np.int64),
        table["y"].to_numpy().astype(np.int64),
        entries.flatten().to_numpy().reshape(len(entries), -1).astype(np.int64),
    )
