"""The training loop: R + λ·255²·MSE over crops and references (paper eq. 9)."""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from clc.codec.gain import QUALITY_MAX, QUALITY_MIN, lagrangian
from clc.codec.model import CompressionModel
from clc.codec.tiles import to_tensor
from clc.errors import TrainingError
from clc.training.checkpoint import load_checkpoint, save_checkpoint
from clc.training.data import Batch, TrainingSet
from clc.training.references import ReferencePool
from clc.training.related import related_view

logger = logging.getLogger(__name__)


class TrainingConfig(BaseModel):
    """How long and how to train."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(ge=1)
    batch: int = Field(default=8, ge=1, description="crops a step")
    crop: int = Field(default=128, ge=64, le=256, multiple_of=64, description="pixels along each side of a crop")
    learning_rate: float = Field(default=4e-4, gt=0)
    warm_up: int = Field(default=100, ge=0, description="steps of linear warm-up, before a cosine decay to 1/20")
    gradient_clip: float = Field(default=0.5, gt=0, description="largest norm of a gradient")
    unconditioned_share: float = Field(default=0.25, ge=0, le=1, description="share of steps without references")
    related_share: float = Field(
        default=0.5, ge=0, le=1, description="share of crops given a simulated related reference"
    )
    refresh_every: int = Field(default=100, ge=1, description="steps between recomputations of the reference latents")
    checkpoint_every: int = Field(default=2, ge=1, description="refreshes between checkpoints")
    seed: int = Field(default=0, ge=0)


@dataclass
class Trainer:
    """A run that can be continued: every random choice of a step follows from the seed and the step's number.

    run: identifies configuration and inputs; a checkpoint of another run is refused.
    """

    model: CompressionModel
    data: TrainingSet
    pool: ReferencePool
    config: TrainingConfig
    checkpoint: Path
    run: str

    def train(self) -> list[dict[str, float]]:
        """Train to the end, from the checkpoint if there is one; returns a row of scalars per refresh.

        Raises TrainingError if loss or gradient are no longer finite; the message names the step and its crops.
        """
        config = self.config
        optimiser = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        first = 0
        log: list[dict[str, float]] = []
        if self.checkpoint.exists():
            first, log = load_checkpoint(self.checkpoint, run=self.run, model=self.model, optimiser=optimiser)
            logger.info("stage=train resumed step=%d of=%d", first, config.steps)
        self.model.train()
        progress = _Progress(first, config)
        for step in range(first, config.steps):
            if step % config.refresh_every == 0:
                if step > first and step % (config.refresh_every * config.checkpoint_every) == 0:
                    # Saved just before a refresh, so that a resumed run begins with the same one.
                    save_checkpoint(
                        self.checkpoint, run=self.run, step=step, model=self.model, optimiser=optimiser, log=log
                    )
                self.pool.refresh(self.model)
            scalars = self._step(step, optimiser)
            if progress.record(scalars, step):
                log.append(progress.report(step))
        return log

    def batch(self, step: int) -> tuple[Batch, Tensor | None]:
        """Crops of a step and their references [B, M, C, 16, 16], or None in a step without."""
        generator = np.random.default_rng((self.config.seed, step))
        batch = self.data.batch(
            generator, size=self.config.batch, crop=self.config.crop, quality=(QUALITY_MIN, QUALITY_MAX)
        )
        if not self.model.config.takes_references or generator.random() < self.config.unconditioned_share:
            return batch, None
        references = self.pool.select(self.data.entries[batch.rows])
        chosen = np.flatnonzero(generator.random(len(batch.rows)) < self.config.related_share)
        if len(chosen):
            others = generator.integers(len(self.data), size=len(chosen))
            views = [
                related_view(self.data.pixels[batch.rows[i]], self.data.pixels[other], generator, batch.mirrored[i])
                for i, other in zip(chosen, others, strict=True)
            ]
            slots = generator.integers(references.shape[1], size=len(chosen))
            references[chosen, slots] = self.pool.analyse(self.model, np.stack(views))
        return batch, references

    def _step(self, step: int, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        batch, references = self.batch(step)
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # quantisation noise and the sampling of eq. 5
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(step, self.config)
        image = to_tensor(batch.pixels)
        result = self.model(image, references, batch.quality)
        bpp = (result.latent_bits + result.hyper_bits) / image[:, 0].numel()
        mse = torch.mean((result.image - image) ** 2)
        loss = bpp + lagrangian(batch.quality) * 255.0**2 * mse
        if not torch.isfinite(loss):
            raise self._diverged("loss", step, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if not torch.isfinite(norm):
            raise self._diverged("gradient", step, batch)
        optimiser.step()
        return {"loss": loss.item(), "bpp": bpp.item(), "psnr": -10.0 * math.log10(max(mse.item(), 1e-10))}

    def _diverged(self, what: str, step: int, batch: Batch) -> TrainingError:
        return TrainingError(
            f"the {what} is not finite at step {step} (crops {batch.rows.tolist()}, quality {batch.quality:.2f}); "
            "lower learning_rate, or look at these crops"
        )


def _learning_rate(step: int, config: TrainingConfig) -> float:
    warm = min(1.0, (step + 1) / max(1, config.warm_up))
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    return config.learning_rate * warm * max(cosine, 0.05)


class _Progress:
    """Means since the last report, and the speed."""

    def __init__(self, first: int, config: TrainingConfig) -> None:
        self._config = config
        self._first = first
        self._started = time.perf_counter()
        self._rows: list[dict[str, float]] = []

    def record(self, scalars: dict[str, float], step: int) -> bool:
        """Whether a report is due after this step."""
        self._rows.append(scalars)
        return (step + 1) % self._config.refresh_every == 0 or step + 1 == self._config.steps

    def report(self, step: int) -> dict[str, float]:
        means = {name: float(np.mean([row[name] for row in self._rows])) for name in self._rows[0]}
        self._rows.clear()
        steps_per_second = (step + 1 - self._first) / (time.perf_counter() - self._started)
        logger.info(
            "stage=train step=%d/%d loss=%.3f bpp=%.3f psnr=%.2f crops/s=%.1f eta=%.0fs",
            *(step + 1, self._config.steps, means["loss"], means["bpp"], means["psnr"]),
            *(steps_per_second * self._config.batch, (self._config.steps - step - 1) / steps_per_second),
        )
        return {"step": float(step + 1), **means}
