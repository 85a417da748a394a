"""Images and auxiliary images as §3.4 of the CLC paper models them, and the error that they lead to.

    x = U* s + ξ,   x̃ = U* s̃ + ξ̃,   x, x̃ ∈ R^d

The paper leaves open what follows; here it is: s ~ N(0, λ I_r); s̃ = s where the auxiliary image is relevant; ξ and ξ̃
are independent of each other and of s, uniform (hence sub-Gaussian) of variance σ² along r(Σ_ξ) random directions each,
so that the effective rank of the noise is exactly that; irrelevant parts show another signal W t of the same variance.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from clc.theory.subspaces import Basis, random_subspace


class Irrelevance(StrEnum):
    """How "the proportion p of irrelevant parts in the auxiliary image" is read."""

    FIXED = "fixed parts"
    """A share p of the coordinates, the same ones in every auxiliary image."""
    CHANGING = "changing parts"
    """Each coordinate with probability p, drawn anew for every auxiliary image."""
    WHOLE = "whole images"
    """All coordinates of a share p of the auxiliary images."""


class SpikedModel(BaseModel):
    """One setting of the theorem's symbols. signal: λ; noise: σ²; noise_rank: r(Σ_ξ), also that of ξ̃."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(ge=1)
    r: int = Field(ge=1)
    d: int = Field(ge=2)
    p: float = Field(ge=0.0, lt=1.0)
    noise_rank: int = Field(ge=1)
    signal: float = Field(default=1.0, gt=0.0)
    noise: float = Field(default=1.0, ge=0.0)
    irrelevance: Irrelevance = Irrelevance.FIXED

    @model_validator(mode="after")
    def _fits(self) -> "SpikedModel":
        if max(self.r, self.noise_rank) > self.d:
            raise ValueError(f"r = {self.r} and r(Σ_ξ) = {self.noise_rank} must be at most d = {self.d}")
        return self


@dataclass(frozen=True)
class World:
    """What is the same for all samples: U*, the other signal's W, the directions of ξ and ξ̃, each [d, ·].

    relevant: which coordinates of the auxiliary images can be relevant, bool [d].
    """

    model: SpikedModel
    subspace: Basis
    other: Basis
    noise: Basis
    auxiliary_noise: Basis
    relevant: NDArray[np.bool_]

    @classmethod
    def drawn(cls, model: SpikedModel, rng: np.random.Generator) -> "World":
        """Every direction uniform, independent of the others."""
        relevant = np.ones(model.d, bool)
        if model.irrelevance is Irrelevance.FIXED:
            relevant[rng.permutation(model.d)[: round(model.p * model.d)]] = False
        subspace, other = random_subspace(model.d, model.r, rng), random_subspace(model.d, model.r, rng)
        noise, auxiliary = (random_subspace(model.d, model.noise_rank, rng) for _ in range(2))
        return cls(model, subspace, other, noise, auxiliary, relevant)

    def samples(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """n images x and their auxiliary images x̃, each [n, d]."""
        model = self.model
        deviation = np.sqrt(model.signal)
        shared = deviation * rng.standard_normal((model.n, model.r)) @ self.subspace.T
        other = deviation * rng.standard_normal((model.n, model.r)) @ self.other.T
        auxiliary = np.where(self._kept(rng), shared, other) + self._noise(self.auxiliary_noise, rng)
        return shared + self._noise(self.noise, rng), auxiliary

    def first_order_error(self) -> float:
        """What ‖sin Θ‖_F tends to as n grows: its root mean square to the first order in 1/√n (delta method).

        With E[x x̃ᵀ] = λ U* Gᵀ: √(tr(U⊥ᵀ Σ_ξ U⊥) · tr(G⁺ Cov(x̃) G⁺ᵀ) / n) / λ. Exact given the directions, so a
        simulation that disagrees for large n is wrong.
        """
        model, relevant, identity = self.model, self.relevant, np.eye(self.model.d)
        signal, other = model.signal * self.subspace @ self.subspace.T, model.signal * self.other @ self.other.T
        keep = 1.0 - model.p
        match model.irrelevance:
            case Irrelevance.FIXED:
                gain = np.where(relevant[:, None], self.subspace, 0.0)
                content = np.where(np.outer(relevant, relevant), signal, 0.0)
                content += np.where(np.outer(~relevant, ~relevant), other, 0.0)
            case Irrelevance.CHANGING:
                gain = keep * self.subspace
                content = keep**2 * signal + model.p**2 * other + keep * model.p * identity * (signal + other)
            case Irrelevance.WHOLE:
                gain = keep * self.subspace
                content = keep * signal + model.p * other
        covariance = content + model.noise * self.auxiliary_noise @ self.auxiliary_noise.T
        inverse = np.linalg.pinv(gain)
        outside = self.noise - self.subspace @ (self.subspace.T @ self.noise)
        missed = model.noise * float(np.sum(outside**2))
        return float(np.sqrt(missed * np.trace(inverse @ covariance @ inverse.T) / model.n) / model.signal)

    def _kept(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Where auxiliary images are relevant, broadcasting to [n, d]."""
        match self.model.irrelevance:
            case Irrelevance.FIXED:
                return self.relevant[None]
            case Irrelevance.CHANGING:
                return rng.random((self.model.n, self.model.d)) >= self.model.p
            case Irrelevance.WHOLE:
                return rng.random((self.model.n, 1)) >= self.model.p

    def _noise(self, directions: Basis, rng: np.random.Generator) -> NDArray[np.float64]:
        edge = np.sqrt(3.0 * self.model.noise)
        return rng.uniform(-edge, edge, (self.model.n, directions.shape[1])) @ directions.T
