"""Effort: the encoder searches for latents that cost less in R + λ·D of the photo than those that g_a and h_a give.

It is the continuous online mode decision of Wang et al., "Neural Data-Dependent Transform for Learned Image
Compression" (CVPR 2022). The network stays as it is, gradients run through it in floating point, and what they lead to
is coded as ever, so that no decoder knows of it. Two searches follow each other, and the syntax of a photo, where the
model has one, moves along the same gradients (`syntax_search`):

Annealing lets every value hover between its two nearest symbols, drawn at random and ever more surely, as in Yang,
Bamler, Mandt, "Improving Inference for Neural Image Compression" (NeurIPS 2020). It needs many steps.

Proximal steps start from symbols and look at the gradient there. Each value then takes the symbol that is best if the
rest changes as the gradient says and distortion grows with the square of the change. Few of them bring much.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Flag, auto
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.decisions.regions import Region, regions
from clc.codec.decisions.rounding import Aim
from clc.codec.decisions.syntax_search import SyntaxSearch
from clc.codec.references.blending import trained_network
from clc.codec.references.protocols import UsedReferences
from clc.errors import ProfileError
from clc.model.conditioning.fusion import Features
from clc.model.differentiable import differentiable
from clc.model.gain import lagrangian
from clc.model.network import CompressionModel
from clc.model.priors.likelihood import coded_bits, round_half_up, scale_of
from clc.model.priors.stages import Block
from clc.model.tiles import to_padded_tensor
from clc.model.transforms.folded import SCALES

EFFORT_MAX = 9
"""The largest effort; 0 codes what g_a gives."""

_SEED = 0
# Values change together, and what they do to the picture adds up: so many times the curvature of one alone.
_STIFFNESS = 4.0
_WARM, _COLD = 0.3, 0.1  # temperatures of annealing
_FASTEST, _FARTHEST = 0.01, 0.5  # quantisation steps that a value moves in a step of annealing, and in all of them
_BETAS = (0.9, 0.99)
_NEAREST = 1e-4  # a value this near to a symbol is as good as there


@dataclass(frozen=True)
class Schedule:
    """Steps of both searches; each runs the network forward and back once."""

    annealed: int
    proximal: int

    @property
    def passes(self) -> int:
        """How often that is."""
        return self.annealed + self.proximal


_SCHEDULES = (
    Schedule(0, 0),
    *(Schedule(0, steps) for steps in (1, 2, 3, 5, 9)),
    *(Schedule(steps, 3) for steps in (24, 42, 75, 130)),
)


def check_effort(effort: int) -> int:
    """The effort. Raises ProfileError for what is not a whole number from 0 to `EFFORT_MAX`."""
    if isinstance(effort, bool) or not isinstance(effort, int | np.integer) or not 0 <= effort <= EFFORT_MAX:
        raise ProfileError(f"effort must be a whole number from 0 to {EFFORT_MAX}, not {effort!r}")
    return int(effort)


class Searched(Flag):
    """What a search may change."""

    LATENTS = auto()
    SYNTAX = auto()


EVERYTHING = Searched.LATENTS | Searched.SYNTAX


def passes_of(effort: int) -> int:
    """How often a search of this effort runs the network forward and back. Raises ProfileError as `check_effort`."""
    return _SCHEDULES[check_effort(effort)].passes


@dataclass(frozen=True)
class Task:
    """What is coded, or a region of it. image: [1, 3, 16h, 16w], padded; size: height and width of what is shown.

    references: [T, M, C, 16, 16] of the tiles of the latent, or None. features: theirs, where they act on g_s.
    seen: uint8 [M, 16h, 16w, 3] of the photos that the picture is blended with, if it is.
    syntax_prior: means and scale levels, [1, n] each, where there is a syntax.
    """

    image: Tensor
    size: tuple[int, int]
    quality: float
    references: Tensor | None
    features: Features | None
    seen: Tensor | None = None
    syntax_prior: tuple[Tensor, Tensor] | None = None

    def of(self, region: Region) -> "Task":
        """The part of a region."""
        pixels = region.pixels
        shown = [max(0, min(end, part.stop) - part.start) for end, part in zip(self.size, pixels, strict=True)]
        references = None if self.references is None else self.references[region.tiles]
        features = None if self.features is None else tuple(map(region.of_features, self.features, SCALES))
        return replace(
            self,
            image=self.image[:, :, *pixels],
            size=(shown[0], shown[1]),
            references=references,
            features=features,
            seen=None if self.seen is None else self.seen[:, *pixels],
        )


@dataclass(frozen=True)
class _Slopes:
    """A state and where it leads. cost: R + λ·255²·D in bits; latent: to aim at next; syntax: gradient, [1, n]."""

    cost: float
    latent: Tensor
    syntax: Tensor | None


@dataclass(frozen=True)
class _Passed:
    """One pass through the network. cost: R + λ·255²·D in bits; decoded: ŷ [1, C, h, w]."""

    cost: Tensor
    decoded: Tensor


Quantise = Callable[[Block, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(block, mean, level) → what is decoded of it, and its bits."""


class Refinement:
    """Searches aims for the images of one model. model: frozen. searched: what may change."""

    def __init__(self, model: CompressionModel, searched: Searched = EVERYTHING) -> None:
        self._frozen = model
        self._searched = searched

    @cached_property
    def _model(self) -> CompressionModel:
        return differentiable(self._frozen)

    def __call__(
        self,
        image: NDArray[np.uint8],
        start: Aim,
        quality: float,
        references: UsedReferences,
        effort: int,
        *,
        blends: bool = False,
    ) -> Aim:
        """A better aim for an image uint8 [H, W, 3] than `start`, the latent and the hyper-latent that it has.

        references: what it is coded with. effort: 1 to `EFFORT_MAX`. blends: the picture is blended with them.
        The same on one machine with one number of threads.
        """
        schedule = _SCHEDULES[effort]
        if start.syntax is None and Searched.LATENTS not in self._searched:
            return start
        with torch.inference_mode(False), torch.enable_grad():
            latent, hyper = (each.detach().clone().float() for each in (start.latent, start.hyper))
            known = None if references.latents is None else references.latents.detach().clone().to(latent)
            features = None if references.features is None else tuple(each.clone() for each in references.features)
            padded = to_padded_tensor(image[None]).to(latent.device)
            task = Task(padded, (image.shape[0], image.shape[1]), quality, known, features)
            if blends and references.seen is not None:
                task = replace(task, seen=_padded_like(padded, references.seen))
            aim = Aim(latent, hyper, syntax=None if start.syntax is None else start.syntax.detach().clone().float())
            task = replace(task, syntax_prior=self._syntax_prior(task, aim))
            if schedule.annealed:
                aim = self._annealed(task, aim, schedule.annealed)
            return self._proximal(task, aim, schedule.proximal)

    def _annealed(self, task: Task, start: Aim, steps: int) -> Aim:
        latent, hyper = start.latent.clone(), start.hyper.clone()
        search = self._syntax_search(task, start, steps)
        optimiser = torch.optim.Adam([latent, hyper], lr=min(_FASTEST, _FARTHEST / steps), betas=_BETAS)
        generator = torch.Generator(latent.device).manual_seed(_SEED)
        for step in range(steps):
            temperature = _WARM * (_COLD / _WARM) ** (step / max(1, steps - 1))

            def hover(values: Tensor, temperature: float = temperature) -> Tensor:
                return _hovering(values, temperature, generator)

            latent.grad, hyper.grad = torch.zeros_like(latent), torch.zeros_like(hyper)
            slopes: list[Tensor] = []
            for region, part in self._parts(task):
                own, own_hyper = region.of(latent).clone(), region.of_hyper(hyper).clone()
                own.requires_grad_(True)
                own_hyper.requires_grad_(True)

                def quantise(block: Block, mean: Tensor, level: Tensor, own: Tensor = own) -> tuple[Tensor, Tensor]:
                    distance = hover(block.of(own) - mean)
                    return distance + mean, coded_bits(distance, scale_of(level))

                numbers, decoded = _leaf(search)
                passed = self._passed(part, hover(own_hyper), quantise, decoded)
                gradients = torch.autograd.grad(passed.cost, (own, own_hyper, *numbers))
                region.put(latent.grad, gradients[0])
                region.put_hyper(hyper.grad, gradients[1])
                slopes.extend(gradients[2:])
            if Searched.LATENTS in self._searched:
                optimiser.step()
            if Searched.SYNTAX in self._searched and search is not None:
                search.move(torch.stack(slopes).sum(dim=0))
        return Aim(latent.detach(), hyper.detach(), syntax=None if search is None else search.values.detach())

    def _proximal(self, task: Task, start: Aim, steps: int) -> Aim:
        """The best of what the steps lead to, by what its symbols cost; a single step is not looked at again."""
        curvature = lagrangian(task.quality) * 255.0**2 / 3 * self._model.gain.inverse_gain(task.quality).square()
        weight = _STIFFNESS * curvature
        aim, best, least = start, start, math.inf
        search = self._syntax_search(task, start, steps)
        for _ in range(steps):
            slopes = self._step(task, aim, weight, search)
            if slopes.cost < least:
                best, least = aim, slopes.cost
            if Searched.LATENTS in self._searched:
                aim = replace(aim, latent=slopes.latent, weight=weight)
            if Searched.SYNTAX in self._searched and search is not None and slopes.syntax is not None:
                search.move(slopes.syntax)
                aim = replace(aim, syntax=search.values.detach().clone())
        if steps > 2 and self._step(task, aim, None, search).cost >= least:
            return best
        return aim

    def _step(self, task: Task, aim: Aim, weight: Tensor | None, search: SyntaxSearch | None) -> _Slopes:
        """What the symbols of an aim cost, and, given a weight, where they lead."""
        cost, following = 0.0 if search is None else search.bits, torch.empty_like(aim.latent)
        slopes: list[Tensor] = []
        for region, part in self._parts(task):
            own = Aim(region.of(aim.latent).clone(), region.of_hyper(aim.hyper), aim.weight)
            own.latent.requires_grad_(weight is not None)

            def quantise(block: Block, mean: Tensor, level: Tensor, own: Aim = own) -> tuple[Tensor, Tensor]:
                with torch.no_grad():
                    moved = own.symbols(block, mean, level) + mean - block.of(own.latent)
                decoded = block.of(own.latent) + moved  # with the gradient of the identity
                # The weighing of symbols accounts for the bits of each; gradients only for what others make of it.
                return decoded, coded_bits(decoded.detach() - mean, scale_of(level))

            with torch.set_grad_enabled(weight is not None):
                numbers, decoded = _leaf(search)
                passed = self._passed(part, round_half_up(own.hyper), quantise, decoded)
            cost += float(passed.cost.detach())
            if weight is not None:
                gradient, *slope = torch.autograd.grad(passed.cost, (own.latent, *numbers))
                region.put(following, passed.decoded.detach() - gradient / (2 * weight))
                slopes += slope
        return _Slopes(cost, following, torch.stack(slopes).sum(dim=0) if slopes else None)

    def _syntax_prior(self, task: Task, start: Aim) -> tuple[Tensor, Tensor] | None:
        """Of the whole photo, as ẑ has it before the search: that moves it little."""
        if start.syntax is None:
            return None
        model = self._model
        assert model.syntax is not None, "no other model makes numbers"
        with torch.no_grad():
            features = model.prior.features(round_half_up(start.hyper), model.gain.rate(task.quality))
            mean, level = model.syntax.prior(features)
        return mean, level

    def _syntax_search(self, task: Task, start: Aim, steps: int) -> SyntaxSearch | None:
        if start.syntax is None or task.syntax_prior is None:
            return None
        return SyntaxSearch(start.syntax, task.syntax_prior, steps)

    def _passed(self, task: Task, z_hat: Tensor, quantise: Quantise, syntax: Tensor | None) -> _Passed:
        model, quality = self._model, task.quality
        rate = model.gain.rate(quality)
        bits = [-torch.log2(model.hyper_prior.of(z_hat)).sum()]

        def counted(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            decoded, own_bits = quantise(block, mean, level)
            bits.append(own_bits.sum())
            return decoded

        features = model.prior.features(z_hat, rate)
        decoded = model.decode(features, rate, counted, task.references)
        restored = model.condition(model.refine(decoded, features, quality), task.references)
        shown = model.synthesise(restored, task.features, syntax=syntax).float()
        if task.seen is not None:
            views = task.seen.permute(0, 3, 1, 2).float()[None]
            blended = trained_network()(255.0 * shown.cpu(), views, torch.tensor([quality]))
            shown = blended.to(shown.device) / 255.0
        height, width = task.size
        squared = (shown - task.image)[:, :, :height, :width].square().sum()
        return _Passed(torch.stack(bits).sum() + lagrangian(quality) * 255.0**2 / 3 * squared, decoded)

    def _parts(self, task: Task) -> Iterator[tuple[Region, Task]]:
        """One after the other, so that memory does not grow with the image."""
        height, width = task.image.shape[2:]
        for region in regions(height, width, whole_tiles=task.references is not None):
            yield region, task.of(region)


def _padded_like(image: Tensor, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """M of uint8 [H, W, 3] → uint8 [M, H', W', 3], as large as an image [1, 3, H', W'], border pixels repeated."""
    height, width = pictures[0].shape[:2]
    padding = (0, image.shape[2] - height), (0, image.shape[3] - width), (0, 0)
    return torch.from_numpy(np.stack([np.pad(each, padding, mode="edge") for each in pictures]))


def _leaf(search: SyntaxSearch | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Numbers to take gradients of, if there are any, and what a decoder has of them."""
    if search is None:
        return (), None
    values = search.values.clone().requires_grad_(True)
    return (values,), search.decoded(values)


def _hovering(values: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Between the whole numbers below and above: nearer to that which a draw gives, at 0 only there."""
    below = values.detach().floor()
    share = (values - below).clamp(_NEAREST, 1.0 - _NEAREST)
    logit = (torch.atanh(share) - torch.atanh(1.0 - share)) / temperature
    drawn = torch.rand(share.shape, generator=generator, device=share.device).clamp(1e-6, 1.0 - 1e-6)
    return below + torch.sigmoid((logit + torch.logit(drawn)) / temperature)
