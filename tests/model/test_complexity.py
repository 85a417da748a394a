"""Costs are counted, so they follow the configuration; those of the presets are what they were designed for."""

import json
import sys
from functools import cache

import pytest
import torch
from torch import nn

from clc.cli import main
from clc.model.complexity import _counting, complexity
from clc.model.conditioning.deformable import deformable_convolution
from clc.model.config import Conditioning
from clc.model.presets import PRESETS
from clc.model.transforms.aggregation import DynamicAggregation
from clc.model.transforms.tcm import WindowAttention

counted = cache(complexity)  # building the largest takes seconds


def operations(run) -> int:
    with torch.no_grad(), _counting() as counter:
        run()
    return counter.get_total_flops()


def test_a_convolution_costs_its_weights_at_every_position() -> None:
    layer = nn.Conv2d(6, 10, 3, stride=2, padding=1, device="meta")
    assert operations(lambda: layer(torch.empty(2, 6, 32, 48, device="meta"))) == 2 * (2 * 16 * 24) * (10 * 6 * 9)


def test_a_deformable_convolution_costs_what_an_ordinary_one_does() -> None:
    layer = nn.Conv2d(6, 10, 3, padding=1, device="meta")
    x, shift, mask = (torch.empty(2, channels, 32, 48, device="meta") for channels in (6, 18, 9))
    deformed = operations(lambda: deformable_convolution(x, shift, mask, layer.weight, layer.bias))
    assert deformed == operations(lambda: layer(x))


def test_attention_costs_its_projections_and_two_products_over_the_window() -> None:
    attention = WindowAttention(16, head_channels=8, window=4, shifted=False).to("meta")
    expected = 8 * 12 * (4 * 16**2 + 2 * 16 * 4**2)  # positions · (projections + products), in MAC
    assert operations(lambda: attention(torch.empty(1, 8, 12, 16, device="meta"))) == 2 * expected


def test_dynamic_aggregation_costs_its_projections() -> None:
    layer = DynamicAggregation(16, groups=4, reach=8.0).to("meta")
    expected = (
        8 * 12 * (16 * 4 + 16 * 9 + 16 * 4 * 9 * 3)
    )  # positions · (shared, depthwise, what says the places), in MAC
    assert operations(lambda: layer(torch.empty(1, 16, 8, 12, device="meta"))) == 2 * expected


def test_counting_needs_no_content_but_agrees_with_content() -> None:
    transform = PRESETS["tiny"].transform.analysis()
    image = torch.zeros(1, 3, 64, 64)
    assert operations(lambda: transform(image)) == operations(lambda: transform.to("meta")(image.to("meta")))


@pytest.mark.medium
def test_only_matching_and_fusion_depend_on_references() -> None:
    tiny = PRESETS["tiny"].model_copy(update={"conditioning": Conditioning.PAPER})
    cost = complexity(tiny)
    added = cost.encoder_with_references - cost.encoder
    assert added == cost.decoder_with_references - cost.decoder > 0
    alone = complexity(tiny.model_copy(update={"conditioning": Conditioning.NONE}))
    assert alone.encoder == alone.encoder_with_references == cost.encoder
    more = complexity(tiny.model_copy(update={"references": 5}))
    assert more.encoder == cost.encoder
    assert more.encoder_with_references > cost.encoder_with_references


@pytest.mark.medium
@pytest.mark.parametrize(
    ("preset", "low", "high"), [("tiny", 40, 60), ("small", 100, 240), ("paper", 1000, 2000), ("dkic", 150, 250)]
)
def test_presets_cost_what_they_are_meant_to_in_both_directions(preset: str, low: float, high: float) -> None:
    cost = counted(PRESETS[preset])
    assert low < (cost.encoder_with_references + cost.decoder_with_references) / 1000 < high


@pytest.mark.medium
def test_the_command_lists_every_preset_in_either_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clc.model.complexity.complexity", counted)
    outputs = []
    for options in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["clc", "model", "presets", *options])
        with pytest.raises(SystemExit) as exit:
            main()
        assert not exit.value.code
        outputs.append(capsys.readouterr().out)
    table, described = outputs[0].splitlines(), json.loads(outputs[1])
    assert [line.split()[0] for line in table[1:]] == list(described) == list(PRESETS)
    assert described["paper"]["slices"] == 8
    assert described["paper"]["references"] == 3
    assert described["dkic"]["slices"] == 5
    (paper,) = (line for line in table if line.startswith("paper"))
    assert f"{described['paper']['encoder'] / 1e3:.1f} / " in paper
