"""References in the prior: matched exactly, trusted by degree, and the same on every machine."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.references.protocols import ReferenceLatents
from clc.codec.safety.net import SafetyNet
from clc.codec.stream_header import tile_count
from clc.errors import BitstreamError
from clc.evaluation.report.reference_share import trust_map
from clc.model.config import Conditioning, ModelConfig, ReferenceSource
from clc.model.gain import GainUnit
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.priors.matching import PriorMatcher, nearest
from clc.model.tiles import split_latent
from tests.miniature import MINIATURE

CHANNELS = 6
CODED = MINIATURE.transform.latent_channels
SHARED = MINIATURE.prior_matching.model_copy(update={"apart": False})
MODEL_ID, DICTIONARY_ID = "1" * 16, "2" * 16


@pytest.fixture
def matcher() -> PriorMatcher:
    """Compares support and references as they are: both have the same channels."""
    matcher = PriorMatcher(CHANNELS, CHANNELS, dimension=CHANNELS)
    for layer in (matcher.query, matcher.key):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        centre = layer.kernel_size[0] // 2
        layer.weight.data[:, :, centre, centre] = torch.eye(CHANNELS)
    return matcher.requires_grad_(False)


def directions(*shape: int) -> Tensor:
    """Latents [..., C, 16, 16] of vectors with the same length."""
    return torch.nn.functional.normalize(torch.randn(*shape, CHANNELS, 16, 16), dim=-3) * 20


def test_the_same_vector_is_found_wherever_it_lies(matcher: PriorMatcher) -> None:
    torch.manual_seed(0)
    matcher.bias.zero_()
    support = directions(1)
    elsewhere = torch.roll(support, shifts=(3, -2), dims=(2, 3))
    references = torch.stack([directions(1), elsewhere], dim=1)
    assert torch.equal(matcher(support, references).latents, support)


def test_without_a_better_reason_the_same_position_is_taken(matcher: PriorMatcher) -> None:
    torch.manual_seed(1)
    references = directions(1, 2)
    match = matcher(torch.zeros(1, CHANNELS, 16, 16), references)
    assert torch.equal(match.latents, references[:, 0])  # of two references, the first


def test_the_score_tells_a_good_match_from_a_bad_one(matcher: PriorMatcher) -> None:
    torch.manual_seed(2)
    support = directions(1)
    good = matcher(support, support[:, None]).score
    bad = matcher(support, 0.1 * directions(1, 1)).score
    assert good.min() > bad.max()


def test_every_tile_has_references_of_its_own(matcher: PriorMatcher) -> None:
    torch.manual_seed(3)
    latent = torch.nn.functional.normalize(torch.randn(1, CHANNELS, 20, 36), dim=1) * 20
    tiles = torch.nn.functional.pad(latent, (0, 12, 0, 12)).unfold(2, 16, 16).unfold(3, 16, 16)
    references = tiles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)[:, None]  # each tile's own content
    assert torch.equal(matcher(latent, references).latents, latent)


def test_gradients_are_the_same_in_every_run() -> None:
    torch.manual_seed(12)
    matcher = PriorMatcher(CHANNELS, CHANNELS, dimension=CHANNELS)
    support, references = torch.randn(4, CHANNELS, 16, 16), torch.randn(4, 3, CHANNELS, 16, 16)
    weights = torch.randn(4, CHANNELS, 16, 16)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = []
        for _ in range(10):
            matcher.bias.grad = None
            (matcher(support, references).latents * weights).sum().backward()  # type: ignore[no-untyped-call]
            assert matcher.bias.grad is not None
            gradients.append(matcher.bias.grad.clone())
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, gradients[0]) for each in gradients)


def test_the_nearest_reference_is_chosen_position_by_position() -> None:
    torch.manual_seed(8)
    latent = torch.randn(1, CHANNELS, 16, 20)  # two tiles, the second mostly beyond the latent
    right, wrong = split_latent(latent + 0.1), split_latent(latent + 1.0)
    first = torch.rand(2, 1, 16, 16) < 0.5
    references = torch.stack([torch.where(first, right, wrong), torch.where(first, wrong, right)], dim=1)
    assert torch.allclose(nearest(latent, references), latent + 0.1)


def test_the_encoder_says_in_z_how_near_the_references_are() -> None:
    torch.manual_seed(9)
    model = CompressionModel(MINIATURE.model_copy(update={"prior_matching": SHARED})).eval()
    latent = torch.randn(1, CODED, 16, 16)
    far = torch.randn(1, 3, CODED, 16, 16)
    near = torch.cat([far[:, :2], latent[:, None]], dim=1)
    rate = model.gain.rate(50.0)
    hyper = [model.hyper_latent(latent * rate.gain, 50.0, each) for each in (None, near, far)]
    assert torch.allclose(hyper[0], hyper[1], atol=1e-5)  # no difference
    assert not torch.allclose(hyper[0], hyper[2], atol=1e-2)


def bits(model: CompressionModel, image: Tensor, references: Tensor | None) -> float:
    result = model(image, references, 50.0)
    return float((result.latent_bits + result.hyper_bits).sum())


@torch.inference_mode()
def test_a_model_that_starts_from_one_without_references_is_that_model_where_none_are_used() -> None:
    torch.manual_seed(11)
    plain = CompressionModel(MINIATURE.model_copy(update={"conditioning": Conditioning.NONE})).eval()
    image, references = torch.rand(1, 3, 128, 128), torch.randn(1, 3, CODED, 16, 16)
    before = bits(plain, image, None)
    apart = CompressionModel(MINIATURE).eval()
    apart.start_from(plain.state_dict())
    assert bits(apart, image, None) == before
    matched = bits(apart, image, references)
    for parameter in apart.prior.conditioned.parameters():
        parameter.mul_(0.9)
    assert bits(apart, image, None) == before
    assert bits(apart, image, references) != pytest.approx(matched, rel=1e-5)
    again = CompressionModel(plain.config).eval()
    again.start_from(apart.state_dict())
    assert bits(again, image, None) == before


@torch.inference_mode()
def test_networks_that_code_apart_start_as_copies_of_those_that_did_both() -> None:
    torch.manual_seed(11)
    shared = CompressionModel(MINIATURE.model_copy(update={"prior_matching": SHARED})).eval()
    apart = CompressionModel(MINIATURE).eval()
    apart.start_from(shared.state_dict())
    image = torch.rand(1, 3, 128, 128)
    for references in (None, torch.randn(1, 3, CODED, 16, 16)):
        assert bits(apart, image, references) == pytest.approx(bits(shared, image, references), rel=1e-5)


@torch.inference_mode()
def test_rates_can_be_had_without_the_picture() -> None:
    torch.manual_seed(12)
    model = CompressionModel(MINIATURE).eval()
    image = torch.rand(1, 3, 128, 128)
    whole, rates = model(image, None, 50.0), model(image, None, 50.0, synthesise=False)
    assert rates.image is None
    assert torch.equal(rates.latent_bits, whole.latent_bits)
    assert torch.equal(rates.hyper_bits, whole.hyper_bits)


@torch.inference_mode()
def test_a_slice_sees_how_far_what_is_decoded_lies_from_its_match() -> None:
    """With the same features, latents and matches for a slice, its parameters depend on earlier slices' matches."""
    torch.manual_seed(10)
    prior = CompressionModel(MINIATURE).prior.eval()
    start = prior.conditioned.slices[0].mean.out_channels
    network = prior.conditioned.slices[1]
    torch.nn.init.normal_(network.get_parameter("trunk.0.weight"))
    torch.nn.init.normal_(network.get_parameter("mean.weight"))
    z_hat = torch.zeros(1, MINIATURE.prior.hyper_channels, 4, 4)
    rate = CompressionModel(MINIATURE).gain.rate(50.0)
    one = torch.randn(1, 1, CODED, 16, 16)
    other = one.clone()
    other[:, :, :start] += 1.0
    means: list[list[Tensor]] = []
    for references in (one, other):
        seen: list[Tensor] = []

        def draw(index: int, mean: Tensor, level: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(mean)
            return torch.zeros_like(mean)

        prior.decode(prior.features(z_hat, rate), rate, draw, references)
        means.append(seen)
    assert not torch.allclose(means[0][1], means[1][1])


def test_gradients_reach_queries_keys_and_bias() -> None:
    torch.manual_seed(4)
    matcher = PriorMatcher(CHANNELS, CHANNELS, dimension=4)
    match = matcher(directions(2), directions(2, 3))
    torch.cat([match.latents, match.score], dim=1).square().sum().backward()
    for parameter in matcher.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_the_exact_gain_is_the_gain() -> None:
    gain = GainUnit(5)
    gain.log_gain.data += torch.randn_like(gain.log_gain)
    gain.freeze()
    for quality in (1.0, 17.31, 50.0, 99.99, 100.0):
        exact, real = gain.exact_rate(quality).gain, gain.rate(quality).gain
        assert torch.equal(exact * 2**12, torch.round(exact * 2**12))
        assert torch.allclose(exact.float(), real, rtol=1e-5, atol=2.0**-12)


def test_references_saturate_instead_of_leaving_the_grid() -> None:
    prior = frozen_model(Conditioning.PRIOR).prior
    latents = torch.tensor([1e6, -1e6, 0.26, 1 / 3], dtype=torch.float64)[:, None, None]
    normalised = prior.scale.normalised(latents, torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64)[:, None, None])
    assert normalised.flatten().tolist() == [32767 / 1024, -32767 / 1024, 266 / 1024, 171 / 1024]


def frozen_model(
    conditioning: Conditioning, source: ReferenceSource = ReferenceSource.RETRIEVED, like: ModelConfig = MINIATURE
) -> CompressionModel:
    torch.manual_seed(5)
    config = like.model_copy(update={"conditioning": conditioning, "reference_source": source})
    model = CompressionModel(config)
    if model.prior.conditioned is not None:
        for match in model.prior.conditioned.matches:
            torch.nn.init.normal_(match.bias)
    crop = torch.rand(1, 3, 128, 128)
    references = model.g_a(torch.rand(3, 3, 256, 256))[None].detach()
    model.freeze([CalibrationCrop(crop, references, quality) for quality in (1.0, 50.0, 100.0)])
    return model


@pytest.mark.medium
@torch.inference_mode()
def test_a_frozen_prior_with_references_does_not_care_for_threads_or_the_order_of_sums() -> None:
    model = frozen_model(Conditioning.PRIOR, like=PRESETS["tiny"])  # as many terms as where it matters
    z_hat = torch.randint(-9, 9, (1, 64, 5, 6)).double()
    references = torch.randint(-127, 128, (4, 3, model.config.transform.latent_channels, 16, 16)) * 2.0**-8
    rate = model.gain.exact_rate(60.0)
    threads = torch.get_num_threads()

    def decode(number: int) -> Tensor:
        torch.set_num_threads(number)
        noise = torch.Generator().manual_seed(6)

        def draw(index: int, mean: Tensor, level: Tensor) -> Tensor:
            assert torch.equal(level, torch.round(level))
            assert torch.equal(mean * 64, torch.round(mean * 64))
            return mean + torch.randint(-4, 5, mean.shape, generator=noise) + level

        return model.prior.decode(model.prior.features(z_hat, rate), rate, draw, references)

    try:
        single = decode(1)
        assert torch.equal(decode(2), single)
        for each in model.prior.conditioned.matches:  # the same products in another order
            order = torch.randperm(each.query.weight.shape[0])
            for layer in (each.query, each.key):
                layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
                layer.restore()
        assert torch.equal(decode(1), single)
    finally:
        torch.set_num_threads(threads)


def test_other_references_give_other_parameters() -> None:
    model = frozen_model(Conditioning.PRIOR)
    z_hat = torch.zeros(1, MINIATURE.prior.hyper_channels, 4, 4).double()

    def decode(references: Tensor | None) -> Tensor:
        rate = model.gain.exact_rate(60.0)
        return model.prior.decode(model.prior.features(z_hat, rate), rate, lambda index, mean, level: mean, references)

    one, two = (torch.randint(-127, 128, (1, 3, CODED, 16, 16)) * 2.0**-8 for _ in range(2))
    assert not torch.equal(decode(one), decode(two))
    assert not torch.equal(decode(one), decode(None))


def test_a_model_that_learns_references_ignores_others() -> None:
    torch.manual_seed(7)
    config = MINIATURE.model_copy(
        update={"conditioning": Conditioning.BOTH, "reference_source": ReferenceSource.LEARNED}
    )
    model = CompressionModel(config).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, second = model(image, None, 50.0), model(image, torch.randn(1, 3, CODED, 16, 16), 50.0)
    assert torch.equal(first.image, second.image)
    assert first.latent_bits == second.latent_bits


def test_learned_references_are_exact_once_frozen() -> None:
    learned = frozen_model(Conditioning.PRIOR, ReferenceSource.LEARNED).learned_references
    for channel in learned.transpose(0, 1):
        step = 2.0 ** math.floor(math.log2(float(channel.abs().max()) / 64))
        assert (channel / step).abs().max() <= 127
        assert torch.equal(channel / step, torch.round(channel / step))


@pytest.mark.parametrize("conditioning", [Conditioning.NONE, Conditioning.PRIOR, Conditioning.BOTH])
@pytest.mark.parametrize("source", list(ReferenceSource))
def test_every_way_of_conditioning_comes_back_from_its_stream(
    conditioning: Conditioning, source: ReferenceSource
) -> None:
    model = frozen_model(conditioning, source)
    values = np.random.default_rng(0).integers(-127, 128, (9, CODED, 16, 16)).astype(np.int8)
    latents = ReferenceLatents(values, np.full(CODED, 8, np.int32), DICTIONARY_ID, MODEL_ID)
    codec = Codec(model, MODEL_ID, latents, _FirstEntries())
    image = np.random.default_rng(1).integers(0, 256, (70, 300, 3), dtype=np.uint8)
    coded = codec.encoder.code(codec.encoder.analyse(image, references=True), 40.0, always=True)
    header = Bitstream.from_bytes(coded.data).header
    assert header.references == (3 if model.config.takes_references else 0)
    decoder = Codec(model, MODEL_ID, latents if model.config.takes_references else None)
    assert np.array_equal(decoder.decompress(coded.data), coded.picture)


@pytest.mark.parametrize("conditioning", [Conditioning.PRIOR, Conditioning.BOTH])
def test_references_of_the_prior_are_left_out_where_they_do_not_pay(
    conditioning: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would code noise without the network.
    monkeypatch.setattr(SafetyNet, "caught", lambda self, coded, keep: coded)
    values = np.random.default_rng(0).integers(-127, 128, (9, CODED, 16, 16)).astype(np.int8)
    latents = ReferenceLatents(values, np.full(CODED, 2, np.int32), DICTIONARY_ID, MODEL_ID)  # far from everything
    model = frozen_model(conditioning)
    for network in model.prior.conditioned.slices:  # as if it trusted them
        network.gate.bias.fill_(1.0)
    codec = Codec(model, MODEL_ID, latents, _FirstEntries())
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    alone, with_them = codec.compress(image, references=False), codec.compress(image, always=True)
    assert len(alone) < len(with_them)
    cheaper = codec.compress(image)
    assert cheaper == (alone if conditioning is Conditioning.PRIOR else with_them)
    assert codec.decompress(cheaper).shape == image.shape


@pytest.mark.parametrize("conditioning", [Conditioning.PRIOR, Conditioning.PAPER, Conditioning.BOTH])
def test_the_map_of_trust_shows_the_share_of_the_references(conditioning: Conditioning) -> None:
    model = frozen_model(conditioning)
    values = np.random.default_rng(0).integers(-127, 128, (9, CODED, 16, 16)).astype(np.int8)
    latents = ReferenceLatents(values, np.full(CODED, 8, np.int32), DICTIONARY_ID, MODEL_ID)
    codec = Codec(model, MODEL_ID, latents, _FirstEntries())
    image = np.random.default_rng(1).integers(0, 256, (70, 300, 3), dtype=np.uint8)
    trust = trust_map(codec, codec.compress(image, always=True))
    assert trust is not None
    assert trust.shape == (5, 19)
    # Where training starts: gates at 0.1, α at 0.5.
    start = {Conditioning.PRIOR: 0.1, Conditioning.PAPER: 0.5, Conditioning.BOTH: 0.3}[conditioning]
    assert trust == pytest.approx(start, abs=0.02)
    assert trust_map(codec, codec.compress(image, references=False)) is None


def test_a_prior_that_knew_other_references_is_noticed() -> None:
    model = frozen_model(Conditioning.PRIOR)
    values = np.random.default_rng(0).integers(-127, 128, (9, CODED, 16, 16)).astype(np.int8)
    exponents = np.full(CODED, 8, np.int32)
    codec = Codec(model, MODEL_ID, ReferenceLatents(values, exponents, DICTIONARY_ID, MODEL_ID), _FirstEntries())
    data = codec.compress(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8), always=True)
    other = Codec(model, MODEL_ID, ReferenceLatents(values[::-1].copy(), exponents, DICTIONARY_ID, MODEL_ID))
    with pytest.raises(BitstreamError):
        other.decompress(data)


class _FirstEntries:
    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        return np.arange(number)[None].repeat(tile_count(*image.shape[:2]), axis=0)
