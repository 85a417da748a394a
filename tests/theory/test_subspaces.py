"""Distances of subspaces that can be worked out by hand, and the estimator where nothing disturbs it."""

import math

import numpy as np
import pytest

from clc.theory.perturbation_bound import effective_rank, rate_of_bound
from clc.theory.subspaces import encoder_subspace, random_subspace, sin_theta

AXES = np.eye(6)


def test_a_subspace_is_at_no_angle_to_itself_in_whatever_basis():
    subspace = random_subspace(20, 3, np.random.default_rng(0))
    turned = subspace @ random_subspace(3, 3, np.random.default_rng(1))

    assert sin_theta(subspace, turned) < 1e-14


@pytest.mark.parametrize("r", [1, 2, 3])
def test_orthogonal_subspaces_are_as_far_apart_as_can_be(r):
    assert sin_theta(AXES[:, :r], AXES[:, 3 : 3 + r]) == pytest.approx(math.sqrt(r))


def test_the_sines_of_all_principal_angles_count():
    turned = np.stack(
        [math.cos(0.3) * AXES[0] + math.sin(0.3) * AXES[2], math.cos(1) * AXES[1] + math.sin(1) * AXES[3]]
    )

    assert sin_theta(AXES[:, :2], turned.T) == pytest.approx(math.hypot(math.sin(0.3), math.sin(1.0)))


def test_encoders_find_what_images_share_though_each_has_something_stronger_of_its_own():
    rng = np.random.default_rng(0)
    shared, own, others = rng.standard_normal((100_000, 2)), *(5 * rng.standard_normal((100_000, 1)) for _ in range(2))
    images, auxiliary = (np.hstack([shared, own, 0 * own]), np.hstack([shared, 0 * others, others]))

    assert sin_theta(encoder_subspace(images, auxiliary, 2), np.eye(4)[:, :2]) < 0.05
    assert sin_theta(encoder_subspace(images, images, 2), np.eye(4)[:, :2]) > 0.9


def test_the_bound_is_what_the_paper_prints():
    settings = {"n": 500, "r": 4, "d": 64, "p": 0.5, "noise_rank": 12.0, "delta": 0.05}

    assert rate_of_bound(**settings) == pytest.approx(math.sqrt(4 / 0.5) * math.sqrt(16 * math.log(64 / 0.05) / 500))


def test_the_effective_rank_of_noise_is_the_dimension_where_all_directions_are_alike():
    assert effective_rank(3.0 * np.eye(7)) == pytest.approx(7.0)
    assert effective_rank(np.diag([4.0, 1.0, 1.0])) == pytest.approx(1.5)
    assert effective_rank(np.zeros((2, 2))) == 0.0
