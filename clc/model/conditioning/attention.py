"""Attention over dictionary entries (paper §3.2 (2), eq. 1) through the learned compression C (eq. 2).

An entry as a whole gets a key and a value, made from its pooled latent by C. C is trained with the codec: the attention
of a tile over its references weighs them in the matching of eq. 4. The encoder ranks the candidates of a search by the
same attention, so that what is retrieved is what the codec can use.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.tiles import to_padded_tensor

_BATCH = 16


class AttentionConfig(BaseModel):
    """Sizes of C."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: tuple[int, ...] = Field(default=(1, 2), min_length=1, description="grids that a latent is pooled to")
    dimension: int = Field(default=256, ge=1, description="of keys and values: d_k = d_v")


class EntryAttention(nn.Module):
    """C for keys and for values, and the attention of eq. 1."""

    def __init__(self, config: AttentionConfig, channels: int) -> None:
        super().__init__()
        pooled = channels * sum(level**2 for level in config.levels)
        self._levels = config.levels
        self.key = nn.Linear(pooled, config.dimension)
        self.value = nn.Linear(pooled, config.dimension)

    def pool(self, latents: Tensor) -> Tensor:
        """Latents [n, C, h, w] → pooled over grids, with a root mean square of 1: [n, C · Σ level²]."""
        pooled = torch.cat([F.adaptive_avg_pool2d(latents, level).flatten(1) for level in self._levels], dim=1)
        return F.normalize(pooled, dim=1) * math.sqrt(pooled.shape[1])

    def log_weights(self, query: Tensor, keys: Tensor) -> Tensor:
        """log softmax(Q Kᵀ / √d_k) of queries [T, d] over keys [T, n, d]: [T, n]."""
        return F.log_softmax(torch.einsum("td,tnd->tn", query, keys) / math.sqrt(query.shape[1]), dim=1)

    def compress(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """C: keys and values, each [n, d], of latents [n, C, h, w] (eq. 2)."""
        pooled = self.pool(latents)
        return self.key(pooled), self.value(pooled)

    def forward(self, query: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """For latents [T, C, h, w] and references [T, M, C, s, s]: log weights [T, M], and what is retrieved [T, d]."""
        count, number = references.shape[:2]
        keys, values = (rows.unflatten(0, (count, number)) for rows in self.compress(references.flatten(0, 1)))
        log_weights = self.log_weights(self.key(self.pool(query)), keys)
        return log_weights, torch.einsum("tn,tnd->td", log_weights.exp(), values)


Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Keys and values, each float32 [n, d]."""


class EntryCompression:
    """C of one model, for pictures and for the entries of one dictionary: what a KV-cache holds rows of.

    rows: what makes or reads the rows of entries int64 [n].
    `clc.dictionary.retrieval.cache.KeyValueCache` takes one.
    """

    def __init__(
        self, analysis: nn.Module, attention: EntryAttention, rows: Callable[[NDArray[np.int64]], Rows]
    ) -> None:
        self._analysis = analysis
        self._attention = attention
        self._rows = rows
        self.dimension = attention.key.out_features

    @torch.inference_mode()
    def queries(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keys float32 [n, d] of pictures uint8 [n, H, W, 3]."""
        parts = [to_padded_tensor(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
        keys = [self._attention.compress(self._analysis(part.to(self._device)))[0] for part in parts]
        return torch.cat(keys).cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return self._attention.key.weight.device

    def entries(self, entries: NDArray[np.int64]) -> Rows:
        """Keys and values, each float32 [n, d], of entries [n]."""
        return self._rows(entries)
