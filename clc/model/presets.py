"""Named model configurations. They are values: whatever else is built from a configuration works for any of them."""

from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.config import Conditioning, ModelConfig
from clc.model.priors.config import PriorConfig
from clc.model.priors.matching import PriorMatchingConfig
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.transforms.dynamic import DynamicConfig
from clc.model.transforms.tcm import TcmConfig

PRESETS = {
    # The default: trains on one GPU, codes on any CPU.
    "base": ModelConfig(
        transform=ConvolutionalConfig(
            widths=(96, 192, 448),
            hidden=(96, 160, 224),
            synthesis_hidden=(64, 128, 192),
            blocks=(1, 2, 2),
            latent_channels=448,
        ),
        prior=PriorConfig(
            hyper_channels=96, hyper_width=96, slices=(4, 12, 48, 128, 256), stages=(4, 4, 2, 2, 1), slice_width=160
        ),
        matching=MatchingConfig(embedding=256, width=32, groups=4, scales=2),
        prior_matching=PriorMatchingConfig(apart=True),
        conditioning=Conditioning.PRIOR,
    ),
    # Trains on a CPU. Its references condition the prior only: CLM and CLS cost as much time as all the rest of it.
    "tiny": ModelConfig(
        transform=ConvolutionalConfig(
            widths=(64, 160, 448),
            hidden=(64, 112, 160),
            synthesis_hidden=(32, 56, 80),  # every reader pays for g_s, only the writer for g_a
            blocks=(1, 1, 1),
            latent_channels=448,
        ),
        # Few channels first: they hold most of the energy, and tell the others how far to trust a match.
        prior=PriorConfig(hyper_channels=64, hyper_width=96, slices=(4, 12, 48, 128, 256), slice_width=96),
        matching=MatchingConfig(embedding=256, width=32, groups=4, scales=2),
        prior_matching=PriorMatchingConfig(apart=True),
        conditioning=Conditioning.PRIOR,
    ),
    # Meant for one GPU.
    "small": ModelConfig(
        transform=ConvolutionalConfig(
            widths=(96, 192, 448), hidden=(96, 192, 256), blocks=(2, 3, 4), latent_channels=448
        ),
        prior=PriorConfig(hyper_channels=96, hyper_width=128, slices=(56,) * 8, slice_width=128),
        matching=MatchingConfig(embedding=256, width=64, groups=4, scales=2),
    ),
    # The paper's (§3.3): transforms of the size of TCM-large, so blocks of 256 channels, 128 a branch, with its depths,
    # windows, heads and latent channels. TCM's smaller sizes have 128 and 192 channels a block.
    "paper": ModelConfig(
        transform=TcmConfig(
            width=256,
            blocks=(2, 2, 2),
            head_channels=(8, 16, 32),
            window=8,
            hyper_blocks=2,
            hyper_head_channels=32,
            hyper_window=4,
            latent_channels=320,
        ),
        prior=PriorConfig(hyper_channels=192, hyper_width=192, slices=(40,) * 8, slice_width=224),
        matching=MatchingConfig(embedding=256, width=96, groups=8, scales=3),
    ),
    # DKIC: kernels whose places depend on the content, and asymmetric spatial stages. Meant for one GPU; its abstract
    # gives five slices and their stages, the other sizes are ours.
    "dkic": ModelConfig(
        transform=DynamicConfig(
            widths=(128, 256, 448),
            hidden=(128, 256, 384),
            groups=(8, 16, 24),
            blocks=(3, 4, 4),
            hyper_hidden=128,
            hyper_groups=8,
            hyper_blocks=2,
            latent_channels=448,
        ),
        prior=PriorConfig(
            hyper_channels=128, hyper_width=128, slices=(8, 24, 64, 128, 224), stages=(4, 4, 2, 2, 2), slice_width=192
        ),
        matching=MatchingConfig(embedding=256, width=64, groups=4, scales=2),
        prior_matching=PriorMatchingConfig(apart=True),
        conditioning=Conditioning.PRIOR,
    ),
}
