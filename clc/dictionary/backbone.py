"""Networks that turn patches into feature maps f_θ(x) (paper §3.2 (1)), before pooling.

- `imagenet`, `file:PATH`, `random:SEED`: the trunk of torchvision's ResNet-50, [B, 2048, H/32, W/32]. Random weights
  are for tests and timings; they are never a substitute that is chosen silently.
- `codec:MODEL`: the analysis transform g_a of a model in the store, [B, C, H/16, W/16]: near in its features is near in
  what is coded.
- `hog`: colour and oriented gradients per 8×8 cell, [B, 11, H/8, W/8]. No weights at all.
"""

import hashlib
import math
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.errors import DictionaryError, ProfileError
from clc.model.tiles import IMAGE_MULTIPLE
from clc.store import Kind, Store, Version

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Backbone(Protocol):
    """Images float32 [B, 3, H, W] in [0, 1] → feature map float32 [B, C, h, w]."""

    spec: str
    """What `open_backbone` opens it by; no alias, which could move."""
    channels: int
    fingerprint: str
    """Identifies the weights: two backbones of one fingerprint compute the same features."""
    inputs: dict[str, str]
    """The artifact versions that its features depend on, as a recipe's inputs."""

    def __call__(self, images: Tensor) -> Tensor: ...


def open_backbone(spec: str, store: Store | None = None) -> Backbone:
    """The backbone named by `spec` (see the module's docstring); store: where `codec:MODEL` is looked up.

    Raises ProfileError for an unknown spec, DictionaryError if weights cannot be had and MissingArtifactError if the
    store has no such model.
    """
    kind, _, argument = spec.partition(":")
    if spec == "hog":
        return OrientedGradients()
    if spec == "imagenet":
        return ResNet50(spec, _downloaded_weights())
    if kind == "file" and argument:
        return ResNet50(spec, _weights_from(Path(argument)))
    if kind == "random" and argument.isdecimal() and int(argument) < 2**63:
        return ResNet50(spec, _random_weights(int(argument)))
    if kind == "codec" and argument and store is not None:
        return CodecAnalysis(store.get(Kind.MODEL, argument))
    raise ProfileError(f"unknown backbone {spec!r}; use hog, imagenet, file:PATH, random:SEED or codec:MODEL")


class OrientedGradients:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) with the mean colour of each cell.

    Gradient magnitudes are compressed by a square root, and split between the two nearest of eight unsigned
    orientations.
    """

    spec = "hog"
    channels = 11
    fingerprint = "hog-1"
    _orientations = 8
    _cell = 8

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}

    def __call__(self, images: Tensor) -> Tensor:
        red, green, blue = images.unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        colour = torch.stack([luma - 0.5, red - luma, blue - luma], dim=1)
        padded = F.pad(luma[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        magnitude = torch.sqrt(torch.hypot(dx, dy))
        position = torch.remainder(torch.atan2(dy, dx) / math.pi, 1.0) * self._orientations
        bins = torch.arange(self._orientations, dtype=images.dtype)[:, None, None]
        distance = torch.abs(position[:, None] - bins)
        distance = torch.minimum(distance, self._orientations - distance)  # orientations are circular
        gradients = magnitude[:, None] * (1.0 - distance).clamp(min=0.0)
        return F.avg_pool2d(torch.cat([colour, gradients], dim=1), self._cell)


class ResNet50:
    """The convolutional trunk of ResNet-50, in evaluation mode, with ImageNet normalisation."""

    channels = 2048

    def __init__(self, spec: str, weights: dict[str, Tensor]) -> None:
        from torchvision.models import resnet50

        self.spec = spec
        self.inputs: dict[str, str] = {}
        network = resnet50(weights=None)
        wanted = network.state_dict()
        wrong = [name for name, tensor in wanted.items() if getattr(weights.get(name), "shape", None) != tensor.shape]
        if wrong:
            raise DictionaryError(
                f"these are not ResNet-50 weights: {len(wrong)} tensors missing or misshapen, first {wrong[0]!r}"
            )
        weights = {name: weights[name].to(tensor.dtype) for name, tensor in wanted.items()}
        network.load_state_dict(weights)
        trunk = nn.Sequential(*list(network.children())[:-2])  # without the pooling and the classifier
        self._trunk = trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(_IMAGENET_MEAN)[:, None, None]
        self._deviation = torch.tensor(_IMAGENET_DEVIATION)[:, None, None]
        self.fingerprint = f"resnet50-{_weights_sha256(weights)[:16]}"

    def __call__(self, images: Tensor) -> Tensor:
        normalised = (images - self._mean) / self._deviation
        features: Tensor = self._trunk(normalised.contiguous(memory_format=torch.channels_last))
        return features


class CodecAnalysis:
    """g_a of a model version. Its features have the scale of the latent, so that distances are those that are coded."""

    def __init__(self, model: Version) -> None:
        from clc.codec.artifacts import read_model  # other backbones need no codec

        network = read_model(model)
        self.spec = f"codec:{model.id}"
        self.channels = network.config.transform.latent_channels
        self.fingerprint = f"codec-{model.short_id}"
        self.inputs = {"model": model.ref}
        self._analyse = network.g_a

    def __call__(self, images: Tensor) -> Tensor:
        if any(side % IMAGE_MULTIPLE for side in images.shape[2:]):
            height, width = images.shape[2:]
            raise DictionaryError(
                f"g_a cannot describe patches of {width}×{height} pixels; cut them in multiples of {IMAGE_MULTIPLE}"
            )
        latents: Tensor = self._analyse(images)
        return latents


def _random_weights(seed: int) -> dict[str, Tensor]:
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet50(weights=None).state_dict()


def _weights_from(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from a .pth that holds tensors only (no code is executed)."""
    if not path.is_file():
        raise DictionaryError(f"backbone weights {path} do not exist; give the path of a ResNet-50 state dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many types for a damaged file, all of them the user's to mend
        raise DictionaryError(f"backbone weights {path} cannot be read: {error}".splitlines()[0]) from error


def _downloaded_weights() -> dict[str, Tensor]:
    from torchvision.models import ResNet50_Weights

    weights = ResNet50_Weights.IMAGENET1K_V2
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise DictionaryError(
            f"ImageNet weights could not be downloaded ({error}); fetch {weights.url} elsewhere "
            "and use --backbone file:PATH, or choose --backbone hog, which needs none"
        ) from error


def _weights_sha256(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        if not name.startswith("fc."):  # the classifier takes no part in the features
            digest.update(name.encode())
            digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
