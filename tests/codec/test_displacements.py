"""Displacements beside corners: the right pixels, the same everywhere; what is written is read, all else refused."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.entropy import TableCoder
from clc.codec.references.displacement_section import is_allowed, pack_displacements, read_displacements
from clc.codec.references.displacements import MAX_NODE, NODE_STEPS, SPACINGS, Displacements, node_counts
from clc.codec.references.warp import CORNER_STEPS, warp
from clc.errors import BitstreamError
from tests.conftest import picture

HEIGHT, WIDTH = 150, 220
PHOTO = picture(3, 200, 280)
STILL = np.zeros((4, 2), dtype=np.int32)
TURNED = (np.array([[30, 5], [21, 12], [33, -2], [9, 6]]) * CORNER_STEPS).astype(np.int32)


def grid(seed: int, spacing: int, reach: int = 20, height: int = HEIGHT, width: int = WIDTH) -> Displacements:
    shape = (*node_counts(height, width, spacing), 2)
    return Displacements(spacing, np.random.default_rng(seed).integers(-reach, reach + 1, shape, dtype=np.int32))


def seen(displacements: Displacements | None, corners: NDArray[np.int32] = STILL) -> NDArray[np.uint8]:
    return warp(PHOTO, corners, HEIGHT, WIDTH, (HEIGHT, WIDTH), displacements)


class TestPixels:
    @pytest.mark.parametrize("corners", [STILL, TURNED])
    def test_nodes_that_are_not_displaced_change_nothing(self, corners: NDArray[np.int32]) -> None:
        assert np.array_equal(seen(grid(0, 64, reach=0), corners), seen(None, corners))

    def test_equal_displacements_are_a_shift(self) -> None:
        values = np.tile(np.array([7, -3], dtype=np.int32) * NODE_STEPS, (*node_counts(HEIGHT, WIDTH, 32), 1))
        shift = np.tile(np.array([7, -3], dtype=np.int32) * CORNER_STEPS, (4, 1))
        assert np.array_equal(seen(Displacements(32, values)), seen(None, shift))

    def test_between_nodes_they_are_linear_and_beyond_constant(self) -> None:
        """Of pixels that say where they lie."""
        columns = np.arange(250)
        ramp = np.repeat(np.broadcast_to(columns, (64, 250))[..., None], 3, axis=2).astype(np.uint8)
        nodes = np.array([[0, 4], [16, 4], [-8, 4], [0, 4]], dtype=np.int32)  # in the columns 32, 96, 160 and 224
        shown = warp(ramp, STILL, 64, 250, (64, 250), Displacements(64, np.stack([nodes])))
        expected = columns + np.interp(columns + 0.5, [32, 96, 160, 224], nodes[:, 0] / NODE_STEPS)
        inside = slice(2, -4)  # the cubic sees the border beyond
        assert np.abs(shown[:, inside].astype(float) - expected[None, inside, None]).max() <= 0.5 + 1 / 16
        assert len(np.unique(shown[:, inside] - columns[None, inside, None].astype(np.uint8))) > 3

    def test_the_image_is_displaced_before_it_is_projected(self) -> None:
        """So a shift of the image by whole pixels is the same projection, begun elsewhere."""
        values = np.tile(np.array([5, 2], dtype=np.int32) * NODE_STEPS, (*node_counts(HEIGHT, WIDTH, 128), 1))
        moved = seen(Displacements(128, values), TURNED)
        assert np.array_equal(moved[: HEIGHT - 2, : WIDTH - 5], seen(None, TURNED)[2:, 5:])

    def test_rows_and_columns_beyond_the_image_change_nothing_within(self) -> None:
        wide = warp(PHOTO, TURNED, HEIGHT, WIDTH, (192, 256), grid(1, 32))
        assert np.array_equal(wide[:HEIGHT, :WIDTH], seen(grid(1, 32), TURNED))

    def test_the_pixels_are_those_of_every_machine(self) -> None:
        shown = hashlib.sha256(b"".join(seen(grid(2, spacing), TURNED).tobytes() for spacing in SPACINGS))
        assert shown.hexdigest().startswith("c307e0050b99c531")


class TestSection:
    @pytest.mark.parametrize("reach", [0, 2, 20, MAX_NODE])
    @pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (1, 1), (33, 700)])
    def test_what_is_written_is_read(self, reach: int, size: tuple[int, int]) -> None:
        grids = (None, *(grid(seed, spacing, reach, *size) for seed, spacing in enumerate(SPACINGS)), None)
        section = pack_displacements(grids)
        again = read_displacements(section, len(grids), *size)
        for before, after in zip(grids, again, strict=True):
            assert (before is None) == (after is None)
            if before is not None and after is not None:
                assert after.spacing == before.spacing
                assert np.array_equal(after.values, before.values)

    def test_references_without_any_take_no_section(self) -> None:
        assert pack_displacements((None, None)) is None
        assert read_displacements(None, 2, HEIGHT, WIDTH) == (None, None)

    def test_a_smooth_grid_takes_two_bits_a_number(self) -> None:
        rows, columns = np.indices(node_counts(640, 960, 32))
        smooth = np.stack([rows + columns // 2, columns - rows // 3], axis=-1).astype(np.int32)
        section = pack_displacements((Displacements(32, smooth),))
        assert section is not None
        assert 8 * len(section) < 2 * smooth.size

    @pytest.mark.parametrize(
        ("section", "reason"),
        [
            (b"", "too short"),
            (b"\1", "too short"),
            (b"\0\0", "no displacements"),
            (b"\1\4" + bytes(8), "spacing"),
            (b"\1\xff" + bytes(8), "spacing"),
            (b"\1\0" + b"\1\2\3", "whole number of words"),
            (b"\1\0" + b"\1\2\3\4" * 500, "more than its symbols"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, section: bytes, reason: str) -> None:
        with pytest.raises(BitstreamError, match=reason):
            read_displacements(section, 2, HEIGHT, WIDTH)

    def test_a_node_too_far_away_is_refused(self) -> None:
        wild = grid(0, 64)
        wild.values[1, 2, 0] = MAX_NODE + 1
        with pytest.raises(BitstreamError, match="steps away"):
            read_displacements(pack_displacements((wild,)), 1, HEIGHT, WIDTH)

    def test_too_many_nodes_are_refused_before_any_is_read(self) -> None:
        assert not is_allowed(65_535, 65_535, 128)
        section = bytes([1]) + TableCoder.close(TableCoder.empty())
        with pytest.raises(BitstreamError, match="too many"):
            read_displacements(section, 1, 65_535, 65_535)

    def test_random_bytes_are_displacements_or_an_error(self) -> None:
        generator = np.random.default_rng(0)
        refused = 0
        for _ in range(200):
            section = bytes([2, 3]) + generator.bytes(4 * int(generator.integers(0, 40)))
            try:
                grids = read_displacements(section, 2, HEIGHT, WIDTH)
            except BitstreamError:
                refused += 1
                continue
            assert all(each is not None and np.abs(each.values).max() <= MAX_NODE for each in grids)
        assert refused > 190
