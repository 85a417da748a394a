"""Transforms of any kind take any size, start as a linear block transform, and attend inside windows only."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clc.model.presets import PRESETS
from clc.model.priors.config import PriorConfig
from clc.model.tiles import to_tensor
from clc.model.transforms.aggregation import DynamicAggregation, FixedAggregation, Kernels
from clc.model.transforms.convolutional import ConvolutionalConfig, LatentResidual, ResidualBlock, for_inference
from clc.model.transforms.dynamic import DynamicBlock, DynamicConfig
from clc.model.transforms.tcm import TcmBlock, TcmConfig, WindowAttention
from tests.conftest import picture

NARROW = {"width": 32, "latent_channels": 48, "blocks": (2, 1, 2), "head_channels": (4, 8, 8), "hyper_head_channels": 8}
TCM = TcmConfig.model_validate(PRESETS["paper"].transform.model_dump() | NARROW)
CONVOLUTIONAL = ConvolutionalConfig(widths=(16, 24, 32), hidden=(16, 16, 16), blocks=(1, 1, 1), latent_channels=48)
DYNAMIC = DynamicConfig(
    widths=(16, 24, 32),
    hidden=(16, 16, 24),
    groups=(2, 4, 3),
    blocks=(2, 0, 1),
    hyper_hidden=16,
    hyper_groups=4,
    hyper_blocks=1,
    latent_channels=48,
)
PRIOR = PriorConfig(hyper_channels=16, hyper_width=16, slices=(12, 36), slice_width=16)
any_kind = pytest.mark.parametrize("config", [CONVOLUTIONAL, TCM, DYNAMIC], ids=lambda config: config.kind)


@any_kind
@pytest.mark.parametrize("size", [(64, 64), (192, 320), (256, 256)])
def test_strides_are_16_and_64(config: ConvolutionalConfig | TcmConfig | DynamicConfig, size: tuple[int, int]) -> None:
    height, width = size
    with torch.no_grad():
        y = config.analysis()(torch.rand(2, 3, height, width))
        assert y.shape == (2, 48, height // 16, width // 16)
        assert config.hyper_analysis(PRIOR, y.shape[1])(y).shape == (2, 16, height // 64, width // 64)
        assert config.synthesis()(y).shape == (2, 3, height, width)


def test_blocks_of_the_synthesis_can_be_narrower_inside() -> None:
    narrower = CONVOLUTIONAL.model_copy(update={"synthesis_hidden": (4, 8, 12)})
    sizes = [each.conv1.out_channels for each in narrower.synthesis().modules() if isinstance(each, ResidualBlock)]
    assert sizes == [12, 8, 4]
    assert [each.conv1.out_channels for each in narrower.analysis().modules() if isinstance(each, ResidualBlock)] == [
        16
    ] * 3


def test_the_untrained_tcm_transforms_keep_a_photos_low_frequencies() -> None:
    torch.manual_seed(0)
    config = TCM.model_copy(update={"width": 192, "latent_channels": 192})
    x = to_tensor(picture(0, 128, 128)[None])
    with torch.no_grad():
        decoded = config.synthesis()(config.analysis()(x))
    blurred = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4)
    assert ((decoded - x) ** 2).mean() < ((blurred - x) ** 2).mean()


@pytest.mark.medium
def test_either_kind_starts_with_latents_of_the_same_scale() -> None:
    torch.manual_seed(0)
    tcm = TCM.model_copy(update={"width": 192, "latent_channels": 256})
    photos = torch.cat([to_tensor(picture(seed, 128, 128)[None]) for seed in range(3)])
    with torch.no_grad():
        deviations = [c.analysis()(photos).std(dim=(0, 2, 3)) for c in (tcm, PRESETS["tiny"].transform)]
    assert torch.allclose(deviations[0][:8], deviations[1][:8], rtol=0.02)  # the coarsest channels


@pytest.mark.parametrize("config", [TCM, DYNAMIC], ids=lambda config: config.kind)
def test_every_weight_of_the_transforms_learns(config: TcmConfig | DynamicConfig) -> None:
    torch.manual_seed(0)
    hyper_analysis = config.hyper_analysis(PRIOR, config.latent_channels)
    model = torch.nn.ModuleList([config.analysis(), hyper_analysis, config.synthesis()])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = to_tensor(picture(0, 64, 128)[None])
    for _ in range(5):  # what lies behind a zeroed layer learns once that one has
        optimiser.zero_grad()
        y = model[0](x)
        (F.mse_loss(model[2](y), x) + model[1](y).square().mean()).backward()
        optimiser.step()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (4, 4), (2, 2), (1, 1), (8, 12), (13, 7)])
def test_attention_is_that_of_each_window_alone(shifted: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(12, head_channels=4, window=4, shifted=shifted)
    torch.nn.init.normal_(attention.position_bias)
    x = torch.randn(2, *size, 12)
    with torch.no_grad():
        assert torch.allclose(attention(x), one_window_at_a_time(attention, x, first=-2 if shifted else 0), atol=1e-5)


def one_window_at_a_time(attention: WindowAttention, x: Tensor, first: int) -> Tensor:
    """The definition: windows from row and column `first` on, cut off at the border, position by position."""
    result = torch.empty_like(x)
    _, height, width, channels = x.shape
    window, heads = attention.window, attention.heads
    for top in range(first, height, window):
        for left in range(first, width, window):
            inside = [
                (y, x)
                for y in range(max(top, 0), min(top + window, height))
                for x in range(max(left, 0), min(left + window, width))
            ]
            rows, columns = (list(axis) for axis in zip(*inside, strict=True))
            query, key, value = attention.project(x[:, rows, columns]).unflatten(2, (3, heads, -1)).unbind(2)
            scores = torch.einsum("bihd,bjhd->bhij", query, key) / (channels // heads) ** 0.5
            for i, (yi, xi) in enumerate(inside):
                for j, (yj, xj) in enumerate(inside):
                    difference = (yi - yj + window - 1) * (2 * window - 1) + xi - xj + window - 1
                    scores[:, :, i, j] += attention.position_bias[:, difference]
            mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(dim=3), value).flatten(2)
            result[:, rows, columns] = attention.merge(mixed)
    return result


def test_images_with_more_windows_than_are_attended_at_once_are_no_different() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(8, head_channels=4, window=2, shifted=False)
    x = torch.randn(1, 34, 66, 8)  # 561 windows
    with torch.no_grad():
        whole, part = attention(x), attention(x[:, 30:, 60:])
    assert torch.allclose(whole[:, 30:, 60:], part, atol=1e-6)


def test_windows_of_neighbouring_blocks_overlap() -> None:
    attentions = [m.attention.attention for m in TCM.analysis().modules() if isinstance(m, TcmBlock)]
    assert [attention.before for attention in attentions] == [0, 4, 0, 0, 4]


def test_heads_that_do_not_divide_a_branch_are_refused() -> None:
    with pytest.raises(ValueError, match="16 channels of a branch cannot be cut into heads of 5"):
        TcmConfig(**TCM.model_dump() | {"head_channels": (4, 5, 8)})


def test_dynamic_transforms_start_as_convolutional_ones_without_blocks() -> None:
    convolutional = CONVOLUTIONAL.model_copy(update={"blocks": (0, 0, 0)})
    pairs = []
    for dynamic, plain in (
        (DYNAMIC.analysis(), convolutional.analysis()),
        (DYNAMIC.synthesis(), convolutional.synthesis()),
        (DYNAMIC.hyper_analysis(PRIOR, 48), convolutional.hyper_analysis(PRIOR, 48)),
    ):
        inside = {
            id(part) for block in dynamic.modules() if isinstance(block, DynamicBlock) for part in block.modules()
        }
        of_groups = {id(part.merge) for part in dynamic.modules() if hasattr(part, "merge")}
        shared = [
            part
            for part in dynamic.modules()
            if isinstance(part, torch.nn.Conv2d) and id(part) not in inside | of_groups
        ]
        others = [part for part in plain.modules() if isinstance(part, torch.nn.Conv2d)]
        assert len(of_groups) == 2  # of three residual groups one has no blocks; h_a has two
        for own, other in zip(shared, others, strict=True):
            own.load_state_dict(other.state_dict())
        pairs.append((dynamic, plain))
    x = to_tensor(picture(0, 64, 128)[None])
    with torch.no_grad():
        y = pairs[0][1](x)
        for (dynamic, plain), given in zip(pairs, (x, y, y), strict=True):
            assert torch.equal(dynamic(given), plain(given))


def test_kernels_of_the_transforms_and_of_the_hyperprior_are_chosen_apart() -> None:
    for kernels in Kernels:
        for hyper_kernels in Kernels:
            config = DYNAMIC.model_copy(update={"kernels": kernels, "hyper_kernels": hyper_kernels})
            for part, expected in (
                (config.analysis(), kernels),
                (config.synthesis(), kernels),
                (config.hyper_analysis(PRIOR, 48), hyper_kernels),
            ):
                kinds = {
                    type(each) for each in part.modules() if isinstance(each, DynamicAggregation | FixedAggregation)
                }
                assert kinds == {DynamicAggregation if expected is Kernels.DYNAMIC else FixedAggregation}


def test_groups_that_do_not_divide_a_block_are_refused() -> None:
    with pytest.raises(ValueError, match="16 channels of a dynamic block cannot be cut into 3 groups"):
        DynamicConfig(**DYNAMIC.model_dump() | {"groups": (3, 4, 3)})
    with pytest.raises(ValueError, match="16 channels of a dynamic block cannot be cut into 5 groups"):
        DynamicConfig(**DYNAMIC.model_dump() | {"hyper_groups": 5})


def test_a_stored_configuration_says_which_kind_of_transform_it_is() -> None:
    for config in PRESETS.values():
        assert type(config).model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("native", [True, False])
def test_residual_branches_are_decoded_in_bfloat16_where_the_cpu_has_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    g_s = CONVOLUTIONAL.synthesis()
    for block in _residual_blocks(g_s):
        torch.nn.init.normal_(block.conv2.weight, std=0.01)  # an identity says nothing
    y = CONVOLUTIONAL.analysis()(to_tensor(picture(0, 64, 128)[None]))
    decoding = for_inference(g_s)
    assert {block.conv1.weight.dtype for block in _residual_blocks(decoding)} == {
        torch.bfloat16 if native else torch.float32
    }
    difference = (decoding(y) - g_s(y)).abs().max()
    assert (difference > 0) == native
    assert difference < 1 / 255
    assert all(parameter.dtype == torch.float32 for parameter in g_s.parameters())


def test_the_latent_residual_is_predicted_in_bfloat16_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    residual = LatentResidual(24, 8, 16)
    x = torch.randn(1, 24, 5, 7)
    predicted = for_inference(residual)(x)
    assert predicted.dtype == torch.float32
    difference = (predicted - residual(x)).abs().max()
    assert 0 < difference < 0.01  # of a quantisation step
    assert predicted.abs().max() <= 0.5


def _residual_blocks(module: torch.nn.Module) -> list[ResidualBlock]:
    return [each for each in module.modules() if isinstance(each, ResidualBlock)]
