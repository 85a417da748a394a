"""How much of the budget is spent, and what that means for the learning rate."""

import math
import time
from dataclasses import dataclass, field

from clc.training.config import Schedule, TrainingConfig

_END = 0.02


@dataclass
class Budget:
    """Counts steps or minutes, over all the processes that a run was continued in.

    steps: of the whole run; None if minutes bound it.
    """

    config: TrainingConfig
    steps: int | None
    seconds_before: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """That the run has trained so far."""
        return self.seconds_before + time.monotonic() - self._started

    def spent(self, step: int, seconds: float) -> float:
        """The share, 0 to 1 and beyond, before `step` after so many seconds."""
        if self.steps is not None:
            return step / self.steps if self.steps else 1.0
        assert self.config.minutes is not None
        return seconds / (60.0 * self.config.minutes)

    def learning_rate(self, step: int, seconds: float) -> float:
        """Of a step."""
        spent = min(self.spent(step, seconds), 1.0)
        match self.config.schedule:
            case Schedule.COSINE:
                decay = max(0.5 * (1.0 + math.cos(math.pi * spent)), _END)
            case Schedule.EXPONENTIAL:
                decay = _END**spent
            case Schedule.HALVING:
                decay = 0.5 ** min(int(3 * spent), 2)
        return self.config.learning_rate * min(1.0, (step + 1) / max(1, self.config.warm_up)) * decay


def steps_of(config: TrainingConfig, windows: int, devices: int) -> int | None:
    """The number of steps of a budget in steps or epochs."""
    if config.epochs is not None:
        return max(1, round(config.epochs * windows / (config.batch * devices)))
    return config.steps
