"""Feature extractors are what their spec says, or an error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clc.codec.artifacts import read_model
from clc.dictionary.backbone import OrientedGradients, ResNet50, open_backbone
from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.stages.features import FeatureConfig, FeatureExtractor
from clc.errors import DictionaryError, MissingArtifactError, ProfileError
from clc.images import open_source
from clc.model.tiles import to_tensor
from clc.store.lineage import ancestry
from tests.conftest import DICTIONARY_CONFIGS, World, picture


@pytest.fixture(scope="module")
def random_resnet() -> ResNet50:
    backbone = open_backbone("random:0")
    assert isinstance(backbone, ResNet50)
    return backbone


@pytest.mark.medium
def test_the_trunk_of_resnet50_gives_2048_channels_at_a_32nd(random_resnet: ResNet50) -> None:
    assert random_resnet(torch.rand(1, 3, 256, 256)).shape == (1, 2048, 8, 8)
    assert FeatureExtractor(FeatureConfig(backbone="random:0")).dimension == 43_008


@pytest.mark.medium
def test_a_seed_names_weights(random_resnet: ResNet50) -> None:
    assert open_backbone("random:0").fingerprint == random_resnet.fingerprint
    assert open_backbone("random:1").fingerprint != random_resnet.fingerprint


@pytest.mark.medium
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_from_a_file_are_the_same_as_in_memory(tmp_path: Path, random_resnet: ResNet50, suffix: str) -> None:
    torch.manual_seed(0)
    from torchvision.models import resnet50  # takes seconds to import

    weights = resnet50(weights=None).state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    image = torch.rand(1, 3, 64, 64)
    loaded = open_backbone(f"file:{path}")
    assert loaded.fingerprint == random_resnet.fingerprint
    assert torch.equal(loaded(image), random_resnet(image))


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="do not exist"):
        open_backbone(f"file:{tmp_path / 'missing.pth'}")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(DictionaryError, match="cannot be read"):
        open_backbone(f"file:{tmp_path / 'text.pth'}")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(DictionaryError, match="cannot be read"):
        open_backbone(f"file:{tmp_path / 'tensor.pth'}")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DictionaryError, match="not ResNet-50 weights"):
        open_backbone(f"file:{tmp_path / 'other.safetensors'}")


def test_a_failed_download_says_how_to_supply_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(DictionaryError, match="--backbone file:PATH"):
        open_backbone("imagenet")


@pytest.mark.parametrize("spec", ["resnet", "random", "random:x", f"random:{2**64}", "file:", "codec:latest", ""])
def test_an_unknown_spec_lists_the_known_ones(spec: str) -> None:
    with pytest.raises(ProfileError, match="hog, imagenet, file:PATH, random:SEED or codec:MODEL"):
        open_backbone(spec)


def test_oriented_gradients_tell_directions_apart() -> None:
    ramp = torch.linspace(0, 1, 64).expand(64, 64)
    horizontal = OrientedGradients()(ramp.expand(1, 3, 64, 64))
    vertical = OrientedGradients()(ramp.T.expand(1, 3, 64, 64))
    assert horizontal.shape == (1, 11, 8, 8)
    assert horizontal[0, 3:, 4, 4].argmax() == 0
    assert vertical[0, 3:, 4, 4].argmax() == 4


def test_oriented_gradients_do_not_care_for_batch_or_threads() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    extract = FeatureExtractor(FeatureConfig(backbone="hog"))
    together = extract(patches)
    assert np.array_equal(together, np.concatenate([extract(patch[None]) for patch in patches]))


def test_a_models_analysis_transform_describes_patches(world: World, tmp_path: Path) -> None:
    backbone = open_backbone("codec:latest", world.store)
    images = to_tensor(np.stack([picture(seed)[:256, :256] for seed in range(2)]))
    assert torch.equal(backbone(images), read_model(world.model).g_a(images))
    assert backbone.spec == f"codec:{world.model.id}"


@pytest.mark.medium
def test_a_dictionary_by_a_models_features_depends_on_the_model(world: World) -> None:
    configs = DICTIONARY_CONFIGS | {"feature_config": FeatureConfig(backbone="codec:latest")}
    version = build_dictionary(open_source(f"folder:{world.photos}"), store=world.store, **configs).version
    assert world.model in ancestry(version)
    entry = Dictionary(version).patch(5)
    assert Dictionary(version).retrieve_tiles(entry[None], 1).tolist() == [[5]]


def test_patches_that_g_a_cannot_take_are_refused(world: World) -> None:
    backbone = open_backbone("codec:latest", world.store)
    with pytest.raises(DictionaryError, match="multiples of 64"):
        backbone(torch.zeros(1, 3, 100, 64))


def test_a_model_that_the_store_does_not_have_is_named(world: World) -> None:
    with pytest.raises(MissingArtifactError, match="0123456789abcdef"):
        open_backbone("codec:0123456789abcdef", world.store)
