"""The networks of the context model: what is known → mean and scale of what is decoded next (paper eq. 8)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import FINEST_INPUT_EXPONENT, LARGEST_INPUT, ExactConv2d, check_exact_sums
from clc.model.priors.likelihood import saturated
from clc.model.priors.scale import NORMALISED_EXPONENT
from clc.model.priors.stages import Phase, at_phases, phases_of_stages
from clc.model.transforms.initialisation import starting_at

_GATE_EXPONENT = 8
_START_GATE = 0.1  # gate of a match when training starts
_LEVEL_EXPONENT = 5  # multiples of 1/16 level
LEVEL_GAIN = 2.0
"""One unit of the scale head's output is this many scale levels."""


class SliceNetwork(nn.Module):
    """What is known of a slice → its normalised mean and its scale level, before the gain's.

    This one knows nothing of the slice itself, and is evaluated at all positions at once.
    known: channels of what is decoded before. matched: further ones, that say what references have there, or 0.
    """

    stages: tuple[tuple[Phase, ...], ...] = ((),)

    def __init__(self, known: int, matched: int, width: int, channels: int) -> None:
        super().__init__()
        first = ExactConv2d(known + matched, width, 1)
        nn.init.zeros_(first.weight.data[:, known:])  # a match says nothing at first
        self.trunk = nn.Sequential(first, nn.ReLU(), ExactConv2d(width, width, 3), nn.ReLU())
        self._add_heads(width, channels, gated=matched > 0)

    def _add_heads(self, width: int, channels: int, gated: bool) -> None:
        self.mean = ExactConv2d(width, channels, 1, output_exponent=NORMALISED_EXPONENT)
        self.level = ExactConv2d(width, channels, 1, output_exponent=_LEVEL_EXPONENT)
        if gated:
            self.gate = ExactConv2d(width, channels, 1, output_exponent=_GATE_EXPONENT)
            starting_at(_START_GATE, self.gate)

    def begin(self, known: Tensor) -> Tensor:
        """What `forward` takes, from what stays known in all stages: [B, known + matched, h, w]."""
        return known

    def forward(
        self, begun: Tensor, own: Tensor | None, match: Tensor | None, phases: tuple[Phase, ...]
    ) -> tuple[Tensor, Tensor]:
        """Mean and level of a stage, each as `Block.of` has it.

        own: what is known of the slice itself, None in a first stage. match [B, c, h, w]: a gate mixes it in.
        """
        return self._heads(self.trunk(begun), match)

    def _heads(self, features: Tensor, match: Tensor | None) -> tuple[Tensor, Tensor]:
        mean = self.mean(features)
        if match is not None:
            mean = mean + saturated(self.gate(features), 1.0) * (match - mean)
        return mean, self.level(features) * LEVEL_GAIN

    def start_at(self, levels: Tensor) -> None:
        """Let the scale levels [c] of the slice start here."""
        assert self.level.bias is not None
        self.level.bias.data.copy_(levels / LEVEL_GAIN)


class StagedSliceNetwork(SliceNetwork):
    """A slice that is decoded in spatial stages: one network for all of them, evaluated at a stage's positions only.

    What is known before the slice enters through `fixed`, which is summed once; what is known of the slice itself
    through `own`. Their sum is rounded once.
    """

    def __init__(self, known: int, matched: int, width: int, channels: int, stages: int) -> None:
        nn.Module.__init__(self)
        self.stages = phases_of_stages(stages)
        self.fixed = ExactConv2d(known + matched, width, 3)
        nn.init.zeros_(self.fixed.weight.data[:, known:])
        if stages > 1:
            seen = channels + 1  # the slice so far, and where it is known
            self.own = ExactConv2d(seen + (channels if matched else 0), width, 3)
            nn.init.zeros_(self.own.weight.data[:, seen:])
        self.hidden = ExactConv2d(width, width, 1)
        self._add_heads(width, channels, gated=matched > 0)

    def begin(self, known: Tensor) -> Tensor:
        return self.fixed.sums(known)

    def forward(
        self, begun: Tensor, own: Tensor | None, match: Tensor | None, phases: tuple[Phase, ...]
    ) -> tuple[Tensor, Tensor]:
        sums = at_phases(begun, phases)
        if own is not None:
            sums = sums + torch.cat([self.own.sums(own, phase) for phase in phases])
        features = F.relu(self.hidden(F.relu(self.fixed.rounded(sums))))
        return self._heads(features, None if match is None else at_phases(match, phases))

    def check(self) -> None:
        """Raise ValueError if `fixed` and `own` together may need more bits than there are."""
        if len(self.stages) == 1:
            return
        assert self.fixed.bias is not None
        assert self.own.bias is not None
        weight = torch.cat([self.fixed.weight, self.own.weight], dim=1)
        check_exact_sums(weight, self.fixed.bias + self.own.bias, LARGEST_INPUT, FINEST_INPUT_EXPONENT)


def slice_network(known: int, matched: int, width: int, channels: int, stages: int | None) -> SliceNetwork:
    """The network of a slice, with stages or without."""
    if stages is None:
        return SliceNetwork(known, matched, width, channels)
    return StagedSliceNetwork(known, matched, width, channels, stages)
