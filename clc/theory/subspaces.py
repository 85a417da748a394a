"""Subspaces of R^d as orthonormal bases [d, r]: estimating one, and how far two are apart."""

import numpy as np
from numpy.typing import NDArray

Basis = NDArray[np.float64]
"""Orthonormal columns, [d, r]."""


def random_subspace(d: int, r: int, rng: np.random.Generator) -> Basis:
    """A uniformly drawn subspace of r ≤ d dimensions."""
    basis: Basis = np.linalg.qr(rng.standard_normal((d, r)))[0]
    return basis


def sin_theta(first: Basis, second: Basis) -> float:
    """‖sin Θ‖_F of the principal angles between two subspaces of r dimensions: 0 if they are one, √r if orthogonal.

    Computed from what of `first` lies outside `second`, which keeps its precision where the angles are small.
    """
    return float(np.linalg.norm(first - second @ (second.T @ first)))


def encoder_subspace(images: NDArray[np.float64], auxiliary: NDArray[np.float64], r: int) -> Basis:
    """Pr(Ĝ₁): the r leading left singular vectors of the sample cross-covariance of images and auxiliary [n, d].

    The pair of linear encoders whose outputs agree best. What of the noise is in only one of the two cancels on
    average, so no noise covariance needs to be known.
    """
    cross = images.T @ auxiliary / len(images)
    left: Basis = np.linalg.svd(cross)[0][:, :r]
    return left
