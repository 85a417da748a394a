"""Effort: the encoder searches for latents that cost less in R + λ·D of the photo than those that g_a and h_a give.

It is the continuous online mode decision of Wang et al., "Neural Data-Dependent Transform for Learned Image
Compression" (CVPR 2022). The network stays as it is, gradients run through it in floating point, and what they lead to
is coded as ever, so that no decoder knows of it. There are two searches, and the syntax of a photo, where the model has
one, moves along the same gradients (`syntax_search`):

Proximal steps change all symbols at once. Each takes the value that is best if the rest changes as the gradient says
and distortion grows with the square of the change. A few of them bring much, more of them little.

Descent changes at most one symbol of each position at a time, by one: that which saves most. Such changes hardly
disturb each other. What they save is foretold from their bits, the gradient, and the curvature of distortion in their
channel. It needs more passes, and finds more with each.
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
from torch.nn import functional as F

from clc.codec.decisions.changes import best_changes
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
from clc.model.tiles import LATENT_STRIDE, to_padded_tensor
from clc.model.transforms.folded import SCALES

EFFORT_MAX = 9
"""The largest effort; 0 codes what g_a gives."""

_SEED = 0
# Where all values change together, what they do to the picture adds up: so many times the curvature of one alone.
_STIFFNESS = 4.0
# Descent. How often the measured curvature, a mean, is counted; how often more after a change that led nowhere, most
# of which is remembered after one that did not. What the number of changes is multiplied by.
_CAUTION, _WARNED, _REMEMBERED = 0.8, 0.5, 0.7
_MORE, _FEWER = 1.1, 0.5


@dataclass(frozen=True)
class Schedule:
    """Steps of one of the searches."""

    proximal: int = 0
    descent: int = 0

    @property
    def passes(self) -> int:
        """How often the network runs forward and back."""
        return self.proximal + (self.descent + 1 if self.descent else 0)


_SCHEDULES = (
    Schedule(),
    *(Schedule(proximal=steps) for steps in (1, 2, 3)),
    *(Schedule(descent=steps) for steps in (5, 9, 18, 32, 56, 96)),
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
class _State:
    """Symbols, and where they lead. cost: R + λ·255²·D in bits, without ẑ; decoded: ŷ [1, C, h, w].

    slope: gradient of the cost in ŷ, but for each symbol's own bits. less, more: bits that each symbol takes more if it
    is smaller or larger by one. syntax: gradient, [1, n].
    """

    cost: float
    decoded: Tensor
    slope: Tensor
    less: Tensor
    more: Tensor
    syntax: Tensor | None


@dataclass(frozen=True)
class _Passed:
    """One pass through the network. cost: R + λ·255²·D in bits; decoded: ŷ [1, C, h, w]; shown: [1, 3, H, W].

    costs: the cost by position, without ẑ and without gradients, [1, 1, h, w].
    """

    cost: Tensor
    costs: Tensor
    decoded: Tensor
    shown: Tensor


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
            if schedule.descent:
                return self._descent(task, aim, schedule.descent)
            return self._proximal(task, aim, schedule.proximal)

    def _proximal(self, task: Task, start: Aim, steps: int) -> Aim:
        """The best of what the steps lead to, by what its symbols cost; what few lead to is not looked at again."""
        curvature = lagrangian(task.quality) * 255.0**2 / 3 * self._model.gain.inverse_gain(task.quality).square()
        weight = _STIFFNESS * curvature
        aim, best, least = start, start, math.inf
        search = self._syntax_search(task, start, steps)
        for _ in range(steps):
            state = self._state(task, aim, search)
            if state.cost < least:
                best, least = aim, state.cost
            if Searched.LATENTS in self._searched:
                aim = replace(aim, latent=state.decoded - state.slope / (2 * weight), weight=weight)
            aim = self._with_syntax_moved(aim, search, state)
        if steps > 2 and self._state(task, aim, search, slopes=False).cost >= least:
            return best
        return aim

    def _descent(self, task: Task, start: Aim, steps: int) -> Aim:
        """The best state that was found. From a worse one it goes back, and makes fewer changes, and rather others."""
        search = self._syntax_search(task, start, steps)
        curvature = self._curvature(task, start, search)
        aim, best, share = start, start, 1.0
        caution, change = torch.full_like(start.latent, _CAUTION), torch.zeros_like(start.latent)
        found: _State | None = None
        for step in range(steps + 1):
            state = self._state(task, aim, search, slopes=step < steps, changes=step < steps)
            if found is None or state.cost < found.cost:
                found, best = state, aim
                share = min(1.0, _MORE * share)
                caution = _CAUTION + _REMEMBERED * (caution - _CAUTION)
            else:
                share *= _FEWER
                caution += _WARNED * change.abs()
            if step < steps and Searched.LATENTS in self._searched:
                smaller, larger = found.less - found.slope, found.more + found.slope
                change = best_changes(smaller + caution * curvature, larger + caution * curvature, share)
                aim = replace(aim, latent=found.decoded + change)
            aim = self._with_syntax_moved(aim, search, state)
        return best

    def _with_syntax_moved(self, aim: Aim, search: SyntaxSearch | None, state: _State) -> Aim:
        if search is None or state.syntax is None or Searched.SYNTAX not in self._searched:
            return aim
        search.move(state.syntax)
        return replace(aim, syntax=search.values.detach().clone())

    def _curvature(self, task: Task, aim: Aim, search: SyntaxSearch | None) -> Tensor:
        """What λ·255²·D grows by if a value moves by one alone, [1, C, 1, 1]: a mean over all of a channel.

        The squares of J's columns, from one draw of signs v: the mean of (Jᵀv)² (Hutchinson's estimator).
        """
        squares, generator = torch.empty_like(aim.latent), torch.Generator().manual_seed(_SEED)
        for region, part in self._parts(task):
            own = Aim(region.of(aim.latent).clone().requires_grad_(True), region.of_hyper(aim.hyper))
            passed = self._passed(part, round_half_up(own.hyper), _symbols_of(own), _leaf(search)[1])
            height, width = part.size
            shown = passed.shown[:, :, :height, :width]
            signs = 2.0 * torch.randint(2, shown.shape, generator=generator) - 1.0
            (slope,) = torch.autograd.grad((shown * signs.to(shown.device)).sum(), own.latent)
            region.put(squares, slope.square())
        down, across = (-(-side // LATENT_STRIDE) for side in task.size)  # padding shows nothing
        shown_squares = squares[:, :, :down, :across].mean(dim=(2, 3), keepdim=True)
        return lagrangian(task.quality) * 255.0**2 / 3 * shown_squares

    def _state(
        self, task: Task, aim: Aim, search: SyntaxSearch | None, *, slopes: bool = True, changes: bool = False
    ) -> _State:
        """What the symbols of an aim cost and, with `slopes`, where they lead, all together or, with `changes`, one."""
        decoded, slope, less, more = (torch.zeros_like(aim.latent) for _ in range(4))
        costs = torch.zeros_like(decoded[:, :1])
        syntax: list[Tensor] = []
        for region, part in self._parts(task):
            own = Aim(region.of(aim.latent).clone(), region.of_hyper(aim.hyper), aim.weight)
            own.latent.requires_grad_(slopes)
            smaller, larger = torch.zeros_like(own.latent), torch.zeros_like(own.latent)
            quantise = _symbols_of(own, (smaller, larger) if changes else None)
            with torch.set_grad_enabled(slopes):
                numbers, syntax_decoded = _leaf(search)
                passed = self._passed(part, round_half_up(own.hyper), quantise, syntax_decoded)
            region.put(costs, passed.costs)
            region.put(decoded, passed.decoded.detach())
            if slopes:
                gradient, *moved = torch.autograd.grad(passed.cost, (own.latent, *numbers))
                for whole, part_of in ((slope, gradient), (less, smaller), (more, larger)):
                    region.put(whole, part_of)
                syntax += moved
        cost = float(costs.sum(dtype=torch.float64)) + (0.0 if search is None else search.bits)
        return _State(cost, decoded, slope, less, more, torch.stack(syntax).sum(dim=0) if syntax else None)

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
        features = model.prior.features(z_hat, rate)
        bits: list[Tensor] = []
        costs, each = (torch.zeros(1, 1, *features.shape[2:], device=z_hat.device) for _ in range(2))

        def counted(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            decoded, own_bits = quantise(block, mean, level)
            bits.append(own_bits.sum())
            replace(block, start=0, end=1).put(each.zero_(), own_bits.detach().sum(dim=1, keepdim=True))
            costs.add_(each)
            return decoded

        decoded = model.decode(features, rate, counted, task.references)
        restored = model.condition(model.refine(decoded, features, quality), task.references)
        shown = model.synthesise(restored, task.features, syntax=syntax).float()
        if task.seen is not None:
            views = task.seen.permute(0, 3, 1, 2).float()[None]
            blended = trained_network()(255.0 * shown.cpu(), views, torch.tensor([quality]))
            shown = blended.to(shown.device) / 255.0
        height, width = task.size
        squares = (shown - task.image)[:, :, :height, :width].square().sum(dim=1, keepdim=True)
        squares = F.pad(squares, (0, task.image.shape[3] - width, 0, task.image.shape[2] - height))
        distortions = lagrangian(quality) * 255.0**2 / 3 * LATENT_STRIDE**2 * F.avg_pool2d(squares, LATENT_STRIDE)
        hyper_bits = -torch.log2(model.hyper_prior.of(z_hat)).sum()
        cost = torch.stack(bits).sum() + hyper_bits + distortions.sum()
        return _Passed(cost, costs + distortions.detach(), decoded, shown)

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


def _symbols_of(aim: Aim, changed: tuple[Tensor, Tensor] | None = None) -> Quantise:
    """The symbols of an aim. changed: takes the bits that each takes more if it is smaller and larger by one."""

    def quantise(block: Block, mean: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            symbols = aim.symbols(block, mean, level)
            moved = symbols + mean - block.of(aim.latent)
        chosen = block.of(aim.latent) + moved  # with the gradient of the identity
        # What a symbol's own bits become is weighed apart; gradients only for what they make of others. What a single
        # change makes of scales is far from linear: its gradient would mislead.
        scale = scale_of(level if changed is None else level.detach())
        bits = coded_bits(chosen.detach() - mean, scale)
        if changed is not None:
            with torch.no_grad():
                for place, by in zip(changed, (-1.0, 1.0), strict=True):
                    block.put(place, coded_bits(symbols + by, scale) - bits)
        return chosen, bits

    return quantise


def _leaf(search: SyntaxSearch | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Numbers to take gradients of, if there are any, and what a decoder has of them."""
    if search is None:
        return (), None
    values = search.values.clone().requires_grad_(True)
    return (values,), search.decoded(values)
