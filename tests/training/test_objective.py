"""What is minimised, and how the learning rate falls meanwhile."""

import math

import pytest
import torch

from clc.errors import ProfileError
from clc.model.gain import lagrangian
from clc.model.network import Reconstruction
from clc.runtime.profile_file import validated
from clc.training.config import Schedule, TrainingConfig
from clc.training.objective import Distortion, balance, rate_distortion
from clc.training.schedule import Budget, steps_of


def result(image: torch.Tensor) -> Reconstruction:
    return Reconstruction(image, latent_bits=torch.tensor(3000.0), hyper_bits=torch.tensor(1096.0))


def test_rate_plus_lambda_times_the_squared_error_of_8_bit_levels() -> None:
    image = torch.full((1, 3, 64, 64), 0.5)
    loss = rate_distortion(result(image + 2 / 255), image, 30.0, Distortion.MSE)
    assert loss.bpp.item() == pytest.approx(1.0)
    assert loss.total.item() == pytest.approx(1.0 + lagrangian(30.0) * 4.0, rel=1e-4)
    assert loss.psnr == pytest.approx(20 * math.log10(255 / 2), rel=1e-4)


def test_ms_ssim_punishes_lost_structure_more_than_a_change_of_light() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 48, 48), size=(192, 192))
    blurred = torch.nn.functional.avg_pool2d(image, 9, stride=1, padding=4)
    lighter = image + (blurred - image).square().mean().sqrt()
    structure, light = (
        rate_distortion(result(other), image, 50.0, Distortion.MS_SSIM).total.item() for other in (blurred, lighter)
    )
    assert structure > 2 * light


def test_ms_ssim_needs_crops_that_carry_its_scales() -> None:
    with pytest.raises(ProfileError, match="crops of at least 192"):
        validated(TrainingConfig, {"steps": 1, "crop": 128, "distortion": "ms-ssim"}, "training")


@pytest.mark.parametrize("distortion", list(Distortion))
def test_crops_with_a_quality_each_cost_what_each_would_alone(distortion: Distortion) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 3, 192, 192)
    other = (image + 0.05 * torch.randn_like(image)).clamp(0, 1)
    bits, qualities = torch.tensor([3000.0, 5000.0, 900.0]), torch.tensor([10.0, 55.0, 100.0])
    together = rate_distortion(Reconstruction(other, bits, bits / 10), image, qualities, distortion)
    for i, quality in enumerate(qualities.tolist()):
        own = Reconstruction(other[i : i + 1], bits[i], bits[i] / 10)
        alone = rate_distortion(own, image[i : i + 1], quality, distortion)
        assert together.total[i].item() == pytest.approx(alone.total.item(), rel=1e-5)
        assert together.bpp[i].item() == pytest.approx(alone.bpp.item(), rel=1e-6)
        assert balance(qualities, (1.0, 100.0))[i].item() == pytest.approx(balance(quality, (1.0, 100.0)), rel=1e-5)
    expected = [together.total.mean().item(), together.bpp.mean().item(), together.psnr]
    assert together.scalars.tolist() == pytest.approx(expected, rel=1e-5)


def test_batches_are_weighed_by_the_root_of_lambda() -> None:
    assert balance(50.5, (1.0, 100.0)) == pytest.approx(1.0)
    ratio = balance(10.0, (1.0, 100.0)) / balance(90.0, (1.0, 100.0))
    assert ratio == pytest.approx(math.sqrt(lagrangian(90.0) / lagrangian(10.0)))
    assert balance(70.0, (70.0, 70.0)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        (Schedule.COSINE, (1.0, 0.75, 0.5, 0.25, 0.02)),
        (Schedule.EXPONENTIAL, (1.0, 0.02 ** (1 / 3), 0.02**0.5, 0.02 ** (2 / 3), 0.02)),
        (Schedule.HALVING, (1.0, 0.5, 0.5, 0.25, 0.25)),
    ],
)
def test_the_learning_rate_falls_over_the_budget(schedule: Schedule, shares: tuple[float, ...]) -> None:
    config = TrainingConfig(steps=3000, learning_rate=1e-3, schedule=schedule, warm_up=0)
    budget = Budget(config, 3000)
    rates = [budget.learning_rate(step, seconds=0.0) for step in (0, 1000, 1500, 2000, 3000)]
    assert rates == pytest.approx([1e-3 * share for share in shares], rel=1e-3)


def test_the_learning_rate_rises_first() -> None:
    budget = Budget(TrainingConfig(steps=10_000, learning_rate=1e-3, warm_up=100), 10_000)
    assert budget.learning_rate(0, 0.0) == pytest.approx(1e-5)
    assert budget.learning_rate(49, 0.0) == pytest.approx(5e-4, rel=1e-3)


def test_a_budget_in_minutes_is_spent_by_the_clock() -> None:
    budget = Budget(TrainingConfig(minutes=2.0), None, seconds_before=30.0)
    assert budget.spent(10_000, 30.0) == 0.25
    assert budget.seconds >= 30.0


def test_epochs_count_windows_over_all_devices() -> None:
    assert steps_of(TrainingConfig(epochs=30, batch=16), windows=3200, devices=2) == 3000
    assert steps_of(TrainingConfig(steps=7), windows=3200, devices=2) == 7
    assert steps_of(TrainingConfig(minutes=1), windows=3200, devices=2) is None
