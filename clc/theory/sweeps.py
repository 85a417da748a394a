"""What of the theorem is varied, one symbol at a time, and how often."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clc.errors import ProfileError
from clc.theory.perturbation_bound import rate_of_bound
from clc.theory.spiked import Irrelevance, SpikedModel, World
from clc.theory.subspaces import encoder_subspace, sin_theta

DELTA = 0.05
"""δ of the theorem: the bound may fail in one of 20 draws."""


@dataclass(frozen=True)
class SimulationBudget:
    """How much a simulation may spend. trials: for each point of a sweep. samples: n, where it is not what varies.

    largest: d where it is varied; entries: keys of a synthetic dictionary; queries: that look for the best of them.
    """

    name: str
    trials: int
    samples: int
    largest: int
    entries: int
    queries: int
    seed: int = 0

    def __str__(self) -> str:
        """In one line, for the head of a table."""
        return (
            f"Budget {self.name}: {self.trials} trials a point, n = {self.samples:,} where it is not varied, "
            f"d up to {self.largest}, {self.entries:,} synthetic keys, {self.queries} queries, seed {self.seed}"
        )


SIMULATION_BUDGETS = {
    budget.name: budget
    for budget in (
        SimulationBudget("smoke", trials=10, samples=8_000, largest=256, entries=2_048, queries=64),  # seconds
        SimulationBudget("short", trials=40, samples=32_000, largest=512, entries=16_384, queries=128),  # minutes
        SimulationBudget("small", trials=200, samples=64_000, largest=1_024, entries=65_536, queries=256),  # hours
    )
}


def find_simulation_budget(name: str) -> SimulationBudget:
    """A budget by name. Raises ProfileError naming those there are."""
    if name not in SIMULATION_BUDGETS:
        raise ProfileError(f"theorem1 has no budget {name!r}; use one of: {', '.join(SIMULATION_BUDGETS)}")
    return SIMULATION_BUDGETS[name]


@dataclass(frozen=True)
class Sweep:
    """Settings that differ in one symbol. quantity: what of the bound grows with it; fixed: what stays; note: what the
    first order of the error says about it. All for people.
    """

    name: str
    quantity: str
    fixed: str
    note: str
    models: tuple[SpikedModel, ...]
    value_of: Callable[[SpikedModel], float]


_TOO_FAST = "the exponent tends to 1 as p → 1; no C covers all n and p"
_P_NOTES = {
    Irrelevance.FIXED: "error² ∝ 1 + σ²/(λ(1−p)): the exponent is below 1/2 and tends to it as p → 1 or σ²/λ → ∞",
    Irrelevance.CHANGING: f"error² ∝ 1 + σ²/(λ(1−p)²) and more: {_TOO_FAST}",
    Irrelevance.WHOLE: f"error² ∝ (λ(1−p) + σ²)/(λ(1−p)²): {_TOO_FAST}",
}


def sweeps(budget: SimulationBudget) -> list[Sweep]:
    """All of them. λ = 4 σ² where noise along U* would hide what is varied, else λ = σ² = 1."""
    n = budget.samples
    dimensions = [32 * 2**step for step in range((budget.largest // 32).bit_length())]
    shares = (0.0, 0.2, 0.4, 0.6, 0.7)
    return [
        Sweep(
            "n",
            "1/n",
            "d = 64, r = 4, r(Σ_ξ) = 32, p = 0.25",
            "error² ∝ 1/n",
            tuple(SpikedModel(n=n // 2**step, r=4, d=64, p=0.25, noise_rank=32) for step in range(10, -1, -1)),
            lambda model: 1.0 / model.n,
        ),
        Sweep(
            "r, much noise",
            "r",
            "d = 128, r(Σ_ξ) = 64, p = 0.25",
            "error² ∝ r · r(Σ_ξ), not r · (r + r(Σ_ξ))",
            tuple(SpikedModel(n=n, r=r, d=128, p=0.25, noise_rank=64) for r in (1, 2, 4, 8)),
            lambda model: float(model.r),
        ),
        Sweep(
            "r, little noise",
            "r",
            "d = 128, r(Σ_ξ) = 2, p = 0.25",
            "error² ∝ r · r(Σ_ξ), not r · (r + r(Σ_ξ))",
            tuple(SpikedModel(n=n // 4, r=r, d=128, p=0.25, noise_rank=2) for r in (4, 8, 16, 32)),
            lambda model: float(model.r),
        ),
        Sweep(
            "noise rank",
            "r(Σ_ξ)",
            "d = 256, r = 2, p = 0.25, λ = 4",
            "error² ∝ r · r(Σ_ξ), and a little more: noise in more directions also reaches U*",
            tuple(SpikedModel(n=n, r=2, d=256, p=0.25, noise_rank=rank, signal=4.0) for rank in (8, 16, 32, 64)),
            lambda model: float(model.noise_rank),
        ),
        Sweep(
            "d",
            "log(d/δ)",
            "r = 2, r(Σ_ξ) = 16, p = 0.25, λ = 4",
            "d is not in it; the same noise reaches U* a little less in more dimensions",
            tuple(SpikedModel(n=n // 2, r=2, d=d, p=0.25, noise_rank=16, signal=4.0) for d in dimensions),
            lambda model: float(np.log(model.d / DELTA)),
        ),
        *(
            Sweep(
                f"p, {irrelevance}",
                "1/(1−p)",
                f"{irrelevance}; d = r(Σ_ξ) = 40, r = 2",
                _P_NOTES[irrelevance],
                tuple(SpikedModel(n=n, r=2, d=40, p=p, noise_rank=40, irrelevance=irrelevance) for p in shares),
                lambda model: 1.0 / (1.0 - model.p),
            )
            for irrelevance in Irrelevance
        ),
    ]


@dataclass(frozen=True)
class AngleRow:
    """One trial: ‖sin Θ‖_F as measured, to the first order in 1/√n, and the bound's rate without C and without √r ∧.

    value: of the sweep's quantity; cap: √r.
    """

    sweep: str
    value: float
    trial: int
    error: float
    first_order: float
    rate: float
    cap: float


def trials(sweep: Sweep, budget: SimulationBudget) -> list[AngleRow]:
    """Every point so many times, each trial with a world and samples of its own; the same for the same seed."""
    rows = []
    for point, model in enumerate(sweep.models):
        rate = rate_of_bound(
            n=model.n, r=model.r, d=model.d, p=model.p, noise_rank=float(model.noise_rank), delta=DELTA
        )
        for trial in range(budget.trials):
            rng = np.random.default_rng([budget.seed, *sweep.name.encode(), point, trial])
            world = World.drawn(model, rng)
            found = encoder_subspace(*world.samples(rng), model.r)
            error = sin_theta(found, world.subspace)
            first_order, value = world.first_order_error(), sweep.value_of(model)
            rows.append(AngleRow(sweep.name, value, trial, error, first_order, rate, float(np.sqrt(model.r))))
    return rows
