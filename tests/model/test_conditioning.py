"""CLM and CLS behave as equations 4 to 6 say, and tiles fit together."""

import numpy as np
import torch

from clc.codec.references.protocols import index_bits
from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.conditioning.latent_matching import ConditionalLatentMatching, MatchingConfig
from clc.model.conditioning.latent_synthesis import ConditionalLatentSynthesis
from clc.model.gain import Rate
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.priors.likelihood import scale_of
from clc.model.priors.stages import Block
from clc.model.tiles import image_tiles, join_latent, split_latent

MATCHING = MatchingConfig(embedding=32, width=16, groups=2, scales=2)


def test_a_match_is_a_convex_combination_of_reference_vectors() -> None:
    torch.manual_seed(0)
    references = torch.randn(2, 3, 8, 16, 16)
    match = ConditionalLatentMatching(MATCHING, 8).match(torch.randn(2, 8, 16, 16), references)
    for tile in range(2):
        for channel in range(8):
            assert match[tile, channel].max() <= references[tile, :, channel].max() + 1e-5
            assert match[tile, channel].min() >= references[tile, :, channel].min() - 1e-5


def test_a_low_temperature_picks_the_same_vector_wherever_it_lies() -> None:
    torch.manual_seed(1)
    matching = ConditionalLatentMatching(MATCHING, 8)
    matching.embed = torch.nn.Identity()
    matching.log_temperature.data.fill_(-6.0)
    query = torch.nn.functional.normalize(torch.randn(1, 8, 16, 16), dim=1)
    elsewhere = torch.roll(query, shifts=(5, 3), dims=(2, 3))
    references = torch.stack([torch.zeros_like(query), elsewhere], dim=1)
    assert torch.allclose(matching.match(query, references), query, atol=1e-4)


def test_the_order_of_references_does_not_matter() -> None:
    torch.manual_seed(2)
    matching = ConditionalLatentMatching(MATCHING, 8)
    query, references = torch.randn(1, 8, 16, 16), torch.randn(1, 3, 8, 16, 16)
    assert torch.allclose(matching(query, references), matching(query, references[:, [2, 0, 1]]), atol=1e-5)


def test_queries_may_be_smaller_than_references() -> None:
    matching = ConditionalLatentMatching(MATCHING, 8)
    assert matching(torch.randn(2, 8, 8, 8), torch.randn(2, 3, 8, 16, 16)).shape == (2, 8, 8, 8)


def test_alpha_starts_at_one_half() -> None:
    synthesis = ConditionalLatentSynthesis(8).eval()
    latent, aligned = torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    assert torch.allclose(synthesis(latent, aligned), 0.5 * latent + 0.5 * aligned, atol=1e-6)


def test_fusion_is_sampled_in_training_and_the_mean_otherwise() -> None:
    synthesis = ConditionalLatentSynthesis(8)
    latent, aligned = torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    assert not torch.equal(synthesis(latent, aligned), synthesis(latent, aligned))
    synthesis.eval()
    assert torch.equal(synthesis(latent, aligned), synthesis(latent, aligned))


def test_joining_tiles_undoes_splitting() -> None:
    latent = torch.randn(1, 5, 20, 36)
    tiles = split_latent(latent)
    assert tiles.shape == (6, 5, 16, 16)
    assert torch.equal(join_latent(tiles, 20, 36), latent)


def test_image_tiles_follow_the_latents_order_and_repeat_the_border() -> None:
    image = np.random.default_rng(0).integers(0, 256, (260, 600, 3), dtype=np.uint8)
    tiles = image_tiles(image)
    assert len(tiles) == 6
    assert np.array_equal(tiles[1], image[:256, 256:512])
    assert np.array_equal(tiles[3][:4], image[256:, :256])
    assert (tiles[3][4:] == image[259, :256]).all()


def test_reference_latents_lose_less_than_a_hundredth_of_each_channels_range() -> None:
    torch.manual_seed(3)
    latents = torch.randn(20, 6, 16, 16) * torch.tensor([1e-3, 0.1, 1.0, 5.0, 60.0, 1000.0])[:, None, None]
    values, exponents = quantise(latents)
    assert values.dtype == torch.int8
    error = (dequantise(values, exponents) - latents).abs().amax(dim=(0, 2, 3))
    assert (error <= 0.01 * latents.abs().amax(dim=(0, 2, 3))).all()


def test_an_index_takes_the_logarithm_of_the_number_of_entries() -> None:
    assert [index_bits(k) for k in (1, 2, 3, 3000, 4096, 4097)] == [0, 1, 2, 12, 12, 13]


def test_freezing_gives_whole_levels_and_hardly_changes_the_rate_of_what_the_prior_expects() -> None:
    torch.manual_seed(4)
    model = CompressionModel(PRESETS["tiny"]).eval()
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), size=(128, 128), mode="bicubic").clamp(0, 1)
    drawn: dict[Block, torch.Tensor] = {}  # a latent that follows the prior before it is frozen
    levels: list[torch.Tensor] = []

    def bits(rate: Rate) -> float:
        dtype = rate.gain.dtype
        total = 0.0

        def quantise(block: Block, mean: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            nonlocal total
            levels.append(level)
            if block not in drawn:
                drawn[block] = torch.normal(mean, scale_of(level))
            normal = torch.distributions.Normal(mean, scale_of(level))
            symbols = torch.round(drawn[block].to(dtype) - mean)
            mass = normal.cdf(mean + symbols + 0.5) - normal.cdf(mean + symbols - 0.5)
            total -= float(torch.log2(mass.clamp(min=1e-9)).sum())
            return symbols + mean

        z = torch.round(model.hyper_latent(model.g_a(image) * model.gain.gain(50.0), 50.0, None))
        model.prior.decode(model.prior.features(z.to(dtype), rate), rate, quantise)
        return total

    with torch.no_grad():
        before = bits(model.gain.rate(50.0))
        model.freeze([CalibrationCrop(image, None, quality) for quality in (1.0, 50.0, 100.0)])
        levels.clear()
        after = bits(model.gain.exact_rate(50.0))
    assert all(torch.equal(level, torch.round(level)) for level in levels)
    assert abs(after - before) < 0.005 * before
