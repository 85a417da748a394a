"""The simulation against what theory says of it to the first order, and against its own assumptions."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from clc.theory.exponents import slope
from clc.theory.perturbation_bound import effective_rank
from clc.theory.spiked import Irrelevance, SpikedModel, World
from clc.theory.subspaces import encoder_subspace, sin_theta


def errors(model: SpikedModel, trials: int = 12) -> list[tuple[float, float]]:
    """Measured and to the first order, for each trial."""
    found = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        world = World.drawn(model, rng)
        error = sin_theta(encoder_subspace(*world.samples(rng), model.r), world.subspace)
        found.append((error, world.first_order_error()))
    return found


def root_mean_square(values: list[float]) -> float:
    return math.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize("irrelevance", Irrelevance)
def test_without_noise_there_is_no_angle_however_much_is_irrelevant(irrelevance):
    model = SpikedModel(n=50, r=3, d=20, p=0.5, noise_rank=5, noise=0.0, irrelevance=irrelevance)

    for measured, first_order in errors(model, trials=3):
        assert measured < 1e-12
        assert first_order == 0.0


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("irrelevance", Irrelevance)
def test_with_many_samples_the_error_is_what_the_first_order_says(irrelevance, p):
    model = SpikedModel(n=20_000, r=2, d=16, p=p, noise_rank=8, irrelevance=irrelevance)
    measured, first_order = zip(*errors(model, trials=40), strict=True)

    assert root_mean_square(measured) == pytest.approx(root_mean_square(first_order), rel=0.08)


def test_the_first_order_without_irrelevant_parts_can_be_worked_out_by_hand():
    """error² = tr(U⊥ᵀ Σ_ξ U⊥) · r · (1 + σ²/λ) / (λ n) where noise is the same in all directions."""
    model = SpikedModel(n=1000, r=3, d=10, p=0.0, noise_rank=10, signal=4.0, noise=2.0)
    world = World.drawn(model, np.random.default_rng(0))

    assert world.first_order_error() == pytest.approx(math.sqrt(2.0 * 7 * 3 * (1 + 2.0 / 4.0) / (4.0 * 1000)))


def test_the_error_falls_with_the_square_root_of_the_number_of_samples():
    sizes = [2_000, 4_000, 8_000, 16_000]
    models = [SpikedModel(n=n, r=2, d=16, p=0.25, noise_rank=8) for n in sizes]
    means = [float(np.mean([measured for measured, _ in errors(model, trials=30)])) for model in models]

    assert slope(sizes, means) == pytest.approx(-0.5, abs=0.06)


@pytest.mark.parametrize(
    ("irrelevance", "growth"),
    [
        (Irrelevance.FIXED, math.sqrt((1 + 1 / 0.4) / 2)),
        (Irrelevance.WHOLE, math.sqrt((0.4 + 1) / 0.4**2 / 2)),
    ],
)
def test_what_is_irrelevant_adds_to_the_error_as_predicted(irrelevance, growth):
    """Noise of variance σ² = λ in all directions, p = 0.6 against none."""
    without, much = (
        root_mean_square(
            [
                error
                for error, _ in errors(SpikedModel(n=20_000, r=2, d=40, p=p, noise_rank=40, irrelevance=irrelevance))
            ]
        )
        for p in (0.0, 0.6)
    )

    assert much / without == pytest.approx(growth, rel=0.1)


def test_with_few_samples_the_error_comes_near_its_largest_value_and_never_exceeds_it():
    found = [measured for measured, _ in errors(SpikedModel(n=3, r=4, d=64, p=0.5, noise_rank=64))]

    assert 0.9 * math.sqrt(4) < min(found) <= max(found) <= math.sqrt(4)


def test_the_noise_is_bounded_and_has_the_variance_and_effective_rank_that_are_asked_for():
    model = SpikedModel(n=50_000, r=1, d=12, p=0.0, noise_rank=5, signal=1e-12, noise=0.5)
    rng = np.random.default_rng(0)
    world = World.drawn(model, rng)
    images, _ = world.samples(rng)
    along = images @ world.noise

    assert effective_rank(world.noise @ world.noise.T) == pytest.approx(5.0)
    assert np.abs(along).max() <= math.sqrt(3 * 0.5) + 1e-5, "bounded, hence sub-Gaussian"
    assert np.allclose(along.var(axis=0), 0.5, rtol=0.03)
    assert effective_rank(images.T @ images / model.n) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("irrelevance", Irrelevance)
def test_a_share_p_of_the_auxiliary_content_is_of_the_other_signal(irrelevance):
    model = SpikedModel(n=20_000, r=2, d=20, p=0.3, noise_rank=1, noise=0.0, irrelevance=irrelevance)
    rng = np.random.default_rng(0)
    images, auxiliary = World.drawn(model, rng).samples(rng)

    assert np.isclose(images, auxiliary).mean() == pytest.approx(0.7, abs=0.02)


def test_settings_that_the_theorem_does_not_have_are_refused():
    with pytest.raises(ValidationError, match="less than 1"):
        SpikedModel(n=10, r=1, d=4, p=1.0, noise_rank=1)
    with pytest.raises(ValidationError, match="at most d = 4"):
        SpikedModel(n=10, r=5, d=4, p=0.0, noise_rank=1)
