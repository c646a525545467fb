"""MemoryCache: a decoder's cache that also carries the memory layer's state, through beams, crops and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from varda_chat.model.following import Pool


class MemoryState:
    """What the memory layer needs of the tokens read so far.

    ids (B, T) long, features (B, T, F) float and pools (ids and token_ids (B, T, k + 1) each) of every position, kept
    as the chunks they came in; so that any operation on the cache is the same operation on these.
    """

    def __init__(self) -> None:
        self._ids: list[Tensor] = []
        self._features: list[Tensor] = []
        self._pools: list[Pool] = []
        self.context: Any = None
        """The turn at hand as the layer summarised it; None after any change but an append."""

    def __len__(self) -> int:
        return sum(ids.shape[1] for ids in self._ids)

    def append(self, ids: Tensor, features: Tensor, pool: Pool | None) -> None:
        """Add a chunk; ``pool`` None where nothing was searched."""
        self._ids.append(ids)
        self._features.append(features)
        if pool is None:
            width = self._pools[-1].ids.shape[-1] if self._pools else 1
            nothing = torch.full((*ids.shape, width), -1, dtype=torch.long, device=ids.device)
            pool = Pool(nothing, nothing)
        self._pools.append(pool)

    def history(self) -> tuple[Tensor, Tensor]:
        """ids (B, T) and features (B, T, F) of all positions."""
        if len(self._ids) > 1:
            self._ids = [torch.cat(self._ids, dim=1)]
            self._features = [torch.cat(self._features, dim=1)]
        return self._ids[0], self._features[0]

    @property
    def last_features(self) -> Tensor:
        """(B, 1, F), of the last position."""
        return self._features[-1][:, -1:]

    @property
    def last_ids(self) -> Tensor:
        """(B, 1), of the last position."""
        return self._ids[-1][:, -1:]

    @property
    def last_pool(self) -> Pool:
        pool = self._pools[-1]
        return Pool(pool.ids[:, -1:], pool.token_ids[:, -1:])

    def rows(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply ``change`` to the batch dimension of everything."""
        self._ids = [change(each) for each in self._ids]
        self._features = [change(each) for each in self._features]
        self._pools = [Pool(change(each.ids), change(each.token_ids)) for each in self._pools]
        self.context = None

    def crop(self, length: int) -> None:
        """Keep the first ``length`` positions."""
        kept = 0
        for place, ids in enumerate(self._ids):
            if kept + ids.shape[1] >= length:
                room = length - kept
                self._ids = [*self._ids[:place], ids[:, :room]]
                self._features = [*self._features[:place], self._features[place][:, :room]]
                break
            kept += ids.shape[1]
        widths = {pool.ids.shape[-1] for pool in self._pools}
        widest = max(widths, default=1)
        pad = torch.nn.functional.pad
        padded = [Pool(*(pad(each, (0, widest - each.shape[-1]), value=-1) for each in pool)) for pool in self._pools]
        self._pools = [Pool(*(torch.cat(parts, dim=1)[:, :length] for parts in zip(*padded, strict=True)))]
        self.context = None


class MemoryCache(DynamicCache):
    """A DynamicCache with the memory layer's state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.memory_state = MemoryState()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)
        self.memory_state.rows(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self.memory_state.rows(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self.memory_state.rows(lambda tensor: tensor[indices])

    def crop(self, *args: Any, **kwargs: Any) -> None:
        super().crop(*args, **kwargs)
        self.memory_state.crop(self.get_seq_length())


def memory_state_of(cache: Any) -> MemoryState:
    """The memory state of ``cache``, put there if it has none."""
    state = getattr(cache, "memory_state", None)
    if state is None:
        state = cache.memory_state = MemoryState()
    return state
