"""A network of the same parts as the preset `tiny`, with a twentieth of its work: for tests of what is around it."""

from clc.model.conditioning.attention import AttentionConfig
from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.config import Conditioning, ModelConfig
from clc.model.presets import PRESETS
from clc.model.priors.config import PriorConfig
from clc.model.priors.matching import PriorMatchingConfig
from clc.model.transforms.convolutional import ConvolutionalConfig

NAME = "miniature"
MINIATURE = ModelConfig(
    transform=ConvolutionalConfig(
        widths=(24, 48, 64), hidden=(8, 16, 24), synthesis_hidden=(8, 12, 16), blocks=(1, 1, 1), latent_channels=64
    ),
    prior=PriorConfig(hyper_channels=16, hyper_width=24, slices=(4, 12, 48), slice_width=24),
    matching=MatchingConfig(
        embedding=32, width=16, groups=2, scales=2, attention=AttentionConfig(levels=(1, 2), dimension=32)
    ),
    prior_matching=PriorMatchingConfig(dimension=16, apart=True),
    conditioning=Conditioning.PRIOR,
)
PRESETS[NAME] = MINIATURE  # for jobs, which name their network
