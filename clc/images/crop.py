"""Where patches and training crops are cut from a photo, and which patches are too flat to be worth keeping."""

import hashlib

import numpy as np

_CELL = 16
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # BT.601, as JPEG


def crop_positions(
    height: int, width: int, *, size: int, count: int, seed: int, image_id: str
) -> list[tuple[int, int]]:
    """Up to `count` random, distinct (x, y) of crops that lie inside a photo of height × width pixels.

    Depends on the arguments alone, so a photo's crops do not change when photos are added before it. Fewer than
    `count` where the photo has fewer positions; none where it is smaller than `size`.
    Raises ValueError if size < 1 or count < 0.
    """
    if size < 1 or count < 0:
        raise ValueError(f"size must be at least 1 and count at least 0, not {size} and {count}")
    columns, rows = width - size + 1, height - size + 1
    if columns < 1 or rows < 1:
        return []
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    chosen = generator.choice(columns * rows, size=min(count, columns * rows), replace=False)
    return [(int(index) % columns, int(index) // columns) for index in chosen]


def grid_positions(height: int, width: int, *, size: int, stride: int) -> list[tuple[int, int]]:
    """The (x, y) of crops every `stride` pixels, row by row, with a last row and column flush with the borders.

    Every pixel is covered if stride ≤ size. None where the photo is smaller than `size`.
    Raises ValueError if size < 1 or stride < 1.
    """
    if size < 1 or stride < 1:
        raise ValueError(f"size and stride must be at least 1, not {size} and {stride}")
    if width < size or height < size:
        return []
    return [
        (x, y)
        for y in (*range(0, height - size, stride), height - size)
        for x in (*range(0, width - size, stride), width - size)
    ]


def contrast(patch: np.ndarray) -> float:
    """How much detail uint8 [H, W, 3] has: the mean over 16×16 cells of the luma's standard deviation, in 8-bit levels.

    A smooth gradient scores low although its histogram is wide. Pixels beyond the last whole cell do not count.
    Raises ValueError if the patch is smaller than one cell.
    """
    rows, columns = patch.shape[0] // _CELL, patch.shape[1] // _CELL
    if rows == 0 or columns == 0:
        raise ValueError(f"a patch must have at least {_CELL}×{_CELL} pixels, not {patch.shape[:2]}")
    luma = patch[: rows * _CELL, : columns * _CELL].astype(np.float32) @ _LUMA
    cells = luma.reshape(rows, _CELL, columns, _CELL)
    return float(cells.std(axis=(1, 3)).mean())


def is_flat(patch: np.ndarray, threshold: float) -> bool:
    """Whether the contrast of uint8 [H, W, 3] is below `threshold` (8-bit levels)."""
    return contrast(patch) < threshold
