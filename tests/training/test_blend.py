"""The filter that blends pictures with references learns from simulated photos of one scene."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clc.errors import TrainingError
from clc.model.network import CompressionModel
from clc.training.blend.__main__ import main
from clc.training.blend.examples import Examples, examples
from clc.training.blend.learn import learn, loss_of
from clc.training.blend.scenes import SMALLEST_PHOTO, shots
from tests.conftest import picture
from tests.miniature import MINIATURE

SIZE = SMALLEST_PHOTO + 20


def test_shots_show_one_scene_and_are_the_same_for_one_seed() -> None:
    photo, other = picture(0, SIZE, SIZE + 30), picture(1, SIZE, SIZE)
    first, again = (shots(photo, other, 3, np.random.default_rng(5)) for _ in range(2))
    assert first.photo.shape == (256, 256, 3)
    assert first.views.shape == (3, 256, 256, 3)
    assert np.array_equal(first.photo, again.photo)
    assert np.array_equal(first.views, again.views)
    assert not np.array_equal(first.views[0], first.views[1])


def test_most_views_resemble_the_photo_more_than_they_resemble_another() -> None:
    photo, other = picture(0, SIZE, SIZE), picture(1, SIZE, SIZE)
    draw = np.random.default_rng(0)
    found = [shots(photo, other, 1, draw) for _ in range(20)]
    errors = [[np.abs(one.photo.astype(int) - two.views[0]).mean() for two in found] for one in found]
    assert np.mean(np.argmin(errors, axis=1) == np.arange(20)) > 0.7


def test_photos_that_are_all_too_small_are_refused() -> None:
    with pytest.raises(TrainingError, match="no photo has 272 pixels"):
        examples(CompressionModel(MINIATURE), [picture(0, 271, 400)], 1, np.random.default_rng(0))


def test_examples_are_what_the_model_decodes_with_the_views() -> None:
    torch.manual_seed(0)
    model = CompressionModel(MINIATURE).eval()
    photos = [picture(seed, SIZE, SIZE) for seed in range(3)] + [picture(3, 50, 50)]
    made = examples(model, photos, 2, np.random.default_rng(1))
    assert made.photos.shape == made.shown.shape == (2, 256, 256, 3)
    assert made.views.shape[0] == 2
    assert made.views.shape[2:] == (256, 256, 3)
    assert ((made.qualities >= 1) & (made.qualities <= 100)).all()
    assert not torch.equal(made.photos, made.shown)


@pytest.mark.medium
def test_a_network_learns_to_take_detail_from_views() -> None:
    photos = torch.from_numpy(np.stack([picture(seed, 128, 128) for seed in range(4)]))
    smooth = torch.nn.functional.avg_pool2d(photos.permute(0, 3, 1, 2).float(), 5, 1, 2, count_include_pad=False)
    shown = smooth.round().to(torch.uint8).permute(0, 2, 3, 1)
    batch = Examples(photos, shown, photos[:, None], torch.full((4,), 30.0))
    few, many = (float(loss_of(learn([batch], steps), batch)) for steps in (1, 60))
    assert many < few - 0.2


def test_training_without_examples_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["blend", "filter", str(tmp_path), "--out", str(tmp_path / "w")])
    with pytest.raises(SystemExit, match="examples"):
        main()
