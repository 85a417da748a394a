"""Models and reference latents as artifacts, and the codec that two of them make."""

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from clc.codec.codec import Codec
from clc.codec.references.coded import open_coded
from clc.codec.references.find import find_references
from clc.codec.references.pictures import DictionaryPhotos
from clc.codec.references.protocols import EntryLatents, NamedPhotos, ReferenceLatents
from clc.codec.size_limit import MAX_PIXELS
from clc.errors import CorruptArtifactError, DictionaryError, MissingArtifactError
from clc.images.patch import decode_patches
from clc.model.conditioning.attention import EntryCompression, Rows
from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.config import ModelConfig
from clc.model.network import CompressionModel
from clc.model.priors.tables import FrequencyTables
from clc.model.tiles import LATENT_TILE, TILE_SIZE, to_tensor
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.weights import pack, unpack
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_BATCH_ROWS = 16


def write_model(draft: Draft, model: CompressionModel) -> None:
    """Put a frozen model into a draft of kind `model`: weights, frequency tables, configuration."""
    if not model.frozen:
        raise ValueError("only a frozen model can be stored")
    draft.tensors("weights", pack(model))
    draft.tensors(
        "tables",
        {
            "hyper.radius": model.hyper_tables.radius,
            "hyper.frequencies": model.hyper_tables.frequencies,
            "latent.radius": model.latent_tables.radius,
            "latent.frequencies": model.latent_tables.frequencies,
        },
    )
    draft.attributes |= {"config": model.config.model_dump(mode="json")}


def read_config(version: Version) -> ModelConfig:
    """The network of a version of kind `model`. Raises CorruptArtifactError if this release has no such network."""
    try:
        return ModelConfig.model_validate(version.attributes["config"])
    except (ValidationError, KeyError) as error:
        raise _of_another_release(version, error) from error


def read_model(version: Version) -> CompressionModel:
    """The frozen model of a version of kind `model`. Raises CorruptArtifactError if this release cannot run it."""
    model = CompressionModel(read_config(version))
    try:
        model.load_state_dict(unpack(version.tensors("weights"), model))
    except (KeyError, RuntimeError) as error:
        raise _of_another_release(version, error) from error
    model.restore(*tables_of(version))
    return model


def tables_of(version: Version) -> tuple[FrequencyTables, FrequencyTables]:
    """The frequency tables of a version of kind `model`: of ẑ, and of the latent."""
    tables = version.tensors("tables")
    hyper, latent = (FrequencyTables(tables[f"{of}.radius"], tables[f"{of}.frequencies"]) for of in ("hyper", "latent"))
    return hyper, latent


def _of_another_release(version: Version, error: Exception) -> CorruptArtifactError:
    reason = str(error).splitlines()[0]
    return CorruptArtifactError(
        f"{version} is not a model of this release of CLC ({reason}); use the one it was made with"
    )


def reference_latents(dictionary: Version, model: Version, *, store: Store, force: bool = False) -> StageResult:
    """Stage: the values of a dictionary under a model, int8 [K, C, 16, 16], computed once and stored.

    With them, in tensors `attention` of a model that learns it, the keys and values float32 [K, d] that its C makes of
    them (eq. 2).
    Raises DictionaryError if the entries are not 256×256 pixels or the model takes no references.
    """
    if dictionary.attributes["patch_size"] != TILE_SIZE:
        raise DictionaryError(
            f"dictionary {dictionary.short_id} has entries of {dictionary.attributes['patch_size']} pixels; "
            f"the codec needs {TILE_SIZE}"
        )

    def build(draft: Draft) -> None:
        network = read_model(model)
        if not network.config.takes_references:
            raise DictionaryError(f"{model} takes no references; code with it without a dictionary")
        # Finer than the codec's own steps, references could save nothing, and most of their bytes would be noise.
        latents = torch.cat(list(_analyse(dictionary, network)))
        values, exponents = quantise(latents, finest=network.gain.finest_exponents)
        size = values[0].numel()
        schema = pa.schema([pa.field("latent", pa.list_(pa.int8(), size))])
        with draft.table("latents", schema) as table:
            flat = pa.array(values.numpy().reshape(-1), pa.int8())
            table.write(pa.table([pa.FixedSizeListArray.from_arrays(flat, size)], schema=schema))
        draft.tensors("exponents", {"exponents": exponents.numpy()})
        if network.config.attends:
            draft.tensors("attention", _compress(network, values, exponents))
        draft.attributes |= {"model": model.id, "dictionary": dictionary.id}
        logger.info("stage=latents entries=%d model=%s dictionary=%s", len(values), model, dictionary)

    return run_stage(store, Kind.LATENTS, _latents_recipe(dictionary, model), build, force=force)


def read_latents(version: Version) -> ReferenceLatents:
    """The reference latents of a version of kind `latents`."""
    values: NDArray[np.int8] = version.table("latents")["latent"].combine_chunks().flatten().to_numpy()
    exponents = version.tensors("exponents")["exponents"]
    return ReferenceLatents(
        values=values.reshape(-1, len(exponents), LATENT_TILE, LATENT_TILE),
        exponents=exponents,
        dictionary_id=version.attributes["dictionary"][:16],
        model_id=version.attributes["model"][:16],
    )


def entry_compression(network: CompressionModel, values: Version, latents: EntryLatents) -> EntryCompression | None:
    """The C of a model with the rows it makes of the entries: stored in a version of kind `latents`, or made from the
    latents of one of kind `references`.

    None for a model that learns no attention over entries.
    """
    if not network.config.attends:
        return None
    if values.kind is Kind.LATENTS:
        rows = values.tensors("attention")
        keys, kept = rows["keys"], rows["values"]
        return EntryCompression(network.g_a, network.attention, lambda entries: (keys[entries], kept[entries]))

    def made(entries: NDArray[np.int64]) -> Rows:
        with torch.inference_mode():
            keys, made = network.attention.compress(latents.select(entries[None])[0].to(network.device))
        return keys.cpu().numpy(), made.cpu().numpy()

    return EntryCompression(network.g_a, network.attention, made)


def open_codec(
    store: Store,
    model: Version,
    dictionary: Version | None = None,
    latents: Version | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Codec:
    """A codec from versions in a store.

    dictionary: whose references to use, or a version of kind `references` itself; None for a codec without any.
    latents: stored latents of the dictionary, for streams that were coded with those. They are looked up, never
    computed on the fly: another machine's rounding could make them differ from those the encoder had.
    max_pixels: as for `Codec`.
    Raises MissingArtifactError if there are none.
    """
    network = read_model(model)
    if dictionary is None:
        return Codec(network, model.short_id, max_pixels=max_pixels)
    if latents is None:
        latents = dictionary if dictionary.kind is Kind.REFERENCES else find_values(store, dictionary, model)
    values, photos = open_values(latents, dictionary, network, model)
    return Codec(network, model.short_id, values, photos=photos, max_pixels=max_pixels)


def open_values(
    values: Version, dictionary: Version, network: CompressionModel, model: Version
) -> tuple[EntryLatents, NamedPhotos]:
    """Latents and photos from a version of kind `references`, or from one of kind `latents` and its dictionary.

    Raises what `open_coded` raises.
    """
    if values.kind is Kind.REFERENCES:
        return open_coded(values, network, model.short_id)
    return read_latents(values), DictionaryPhotos(dictionary)


def find_values(store: Store, dictionary: Version, model: Version) -> Version:
    """What a decoder takes of a dictionary under a model: its references, or else its reference latents, which models
    with other transforms and earlier releases have instead.

    Raises MissingArtifactError if there is neither.
    """
    values = find_references(store, dictionary, model) or store.find(_latents_recipe(dictionary, model))
    if values is None:
        raise MissingArtifactError(
            f"{dictionary} has no references under {model}; make them from its photos: `clc dictionary references "
            f"{dictionary.short_id} --source PHOTOS --model {model.short_id}`, or `clc references import FILE`"
        )
    return values


def find_latents(store: Store, dictionary: Version, model: Version) -> Version:
    """The reference latents of a dictionary under a model. Raises MissingArtifactError if they were never computed."""
    latents = store.find(_latents_recipe(dictionary, model))
    if latents is None:
        raise MissingArtifactError(
            f"the store has no reference latents of {dictionary} under {model}; "
            "`clc latents import FILE` brings in those that the stream was coded with"
        )
    return latents


def other_latents(store: Store, dictionary: Version, model: Version) -> list[Version]:
    """What other machines made of the same dictionary and model, and rounded otherwise; the oldest first."""
    own = find_latents(store, dictionary, model)
    made_of = {"dictionary": dictionary.id, "model": model.id}
    return [
        version
        for version in store.versions(Kind.LATENTS)
        if version.id != own.id and made_of.items() <= version.attributes.items()
    ]


def values_of(dictionary: Version, model: Version, *, store: Store) -> Version:
    """`find_values`; latents of a model whose transforms are not convolutional are computed if they are not there.

    Raises MissingArtifactError if there are no references of any other.
    """
    if not isinstance(read_config(model).transform, ConvolutionalConfig):
        return reference_latents(dictionary, model, store=store).version
    return find_values(store, dictionary, model)


def _latents_recipe(dictionary: Version, model: Version) -> Recipe:
    return Recipe(
        stage="latents", stage_version=3, config={}, inputs={"dictionary": dictionary.ref, "model": model.ref}
    )


@torch.inference_mode()
def _analyse(dictionary: Version, model: CompressionModel) -> Iterator[Tensor]:
    """Latents float32 [≤ batch, C, 16, 16] of the entries, in order."""
    for batch in dictionary.batches("entries", columns=["image"], batch_rows=_BATCH_ROWS):
        pixels = decode_patches(batch.column("image"))
        yield model.g_a(to_tensor(pixels))


@torch.inference_mode()
def _compress(network: CompressionModel, values: Tensor, exponents: Tensor) -> dict[str, NDArray[np.float32]]:
    """C of the latents as the codec has them: quantised."""
    parts = [network.attention.compress(dequantise(part, exponents)) for part in values.split(_BATCH_ROWS)]
    return {
        name: torch.cat(rows).numpy() for name, rows in zip(("keys", "values"), zip(*parts, strict=True), strict=True)
    }
