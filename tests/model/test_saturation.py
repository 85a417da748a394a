"""Saturated values of the prior path are counted, layer by layer."""

from dataclasses import replace

import numpy as np
import torch

from clc.codec.references.protocols import NO_REFERENCES
from clc.model.exact.saturation import Saturated, counted_saturation
from tests.codec.golden_files import golden_codec
from tests.conftest import picture


def test_values_at_their_limit_are_counted() -> None:
    counted = Saturated()
    counted.add(torch.tensor([1.0, -4.0, 4.0, 3.9]), 4.0)
    counted.add(torch.tensor([-5.0]), 4.0)
    assert (counted.values, counted.at_limit) == (5, 3)


def test_every_layer_that_was_used_is_counted_and_none_afterwards() -> None:
    codec = golden_codec()
    analysis = codec.encoder.analyse(picture(2)[:64, :64], references=False)
    with counted_saturation(codec.model.prior) as counts:
        codec.encoder.code_with(analysis, 50.0, NO_REFERENCES)
    assert {
        "hyper_synthesis.0",
        "conditioned.slices.0.mean",
        "conditioned.slices.1.level",
        "inputs of conditioned.slices.0.trunk.0",
    } < set(counts)
    assert counts["conditioned.slices.0.mean"].values == 8 * 4 * 4
    before = counts["conditioned.slices.0.mean"].values
    codec.encoder.code_with(analysis, 50.0, NO_REFERENCES)
    assert counts["conditioned.slices.0.mean"].values == before


def test_a_latent_far_beyond_what_was_seen_saturates() -> None:
    codec = golden_codec()
    picture_of_squares = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8)))[..., None].repeat(3, 2)
    analysis = codec.encoder.analyse((255 * picture_of_squares).astype(np.uint8), references=False)
    analysis = replace(analysis, latent=1000.0 * analysis.latent)
    with counted_saturation(codec.model.prior) as counts:
        codec.encoder.code_with(analysis, 100.0, NO_REFERENCES)
    assert sum(each.at_limit for each in counts.values()) > 0
