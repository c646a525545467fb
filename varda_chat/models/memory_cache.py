"""MemoryCache: a decoder's cache that also carries the memory layer's state, through beams, crops and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from varda_chat.models.copy_chain import CopyState

_COPY_STATE = ("copy_ids", "copy_tokens")
ROOM = 256
"""Tokens by which the room for keys and values grows."""


class MemoryState:
    """What the memory layer needs of the tokens read so far: tensors (B, T, ...) by name, of every position.

    They are kept as the chunks they came in, so that any operation on the cache is the same operation on these.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, list[Tensor]] = {}
        self._length = 0
        self.context: Any = None
        """The turn at hand as the layer summarised it; None after any change but an append."""

    def __len__(self) -> int:
        return self._length

    def append(self, copy_state: CopyState | None, **tensors: Tensor) -> None:
        """Add a chunk of T positions: tensors (B, T, ...), and its copy state, (B, T, k + 1) each; None where nothing
        was searched."""
        rows, length = next(iter(tensors.values())).shape[:2]
        if copy_state is None:
            nothing = torch.full((rows, length, 1), -1, device=next(iter(tensors.values())).device)
            copy_state = CopyState(nothing, nothing)
        for name, tensor in (*tensors.items(), *zip(_COPY_STATE, copy_state, strict=True)):
            self._chunks.setdefault(name, []).append(tensor)
        self._length += length

    def all(self, name: str) -> Tensor:
        """(B, T, ...), of all positions."""
        chunks = self._chunks[name]
        if len(chunks) > 1:
            if name in _COPY_STATE:  # of a step without results it is narrower
                widest = max(each.shape[-1] for each in chunks)
                chunks = [F.pad(each, (0, widest - each.shape[-1]), value=-1) for each in chunks]
            self._chunks[name] = chunks = [torch.cat(chunks, dim=1)]
        return chunks[0]

    def last(self, name: str) -> Tensor | None:
        """(B, 1, ...), of the last position; None before the first."""
        return self._chunks[name][-1][:, -1:] if self._length else None

    @property
    def last_copy_state(self) -> CopyState | None:
        """(B, 1, k + 1) each, of the last position; None before the first."""
        ids, tokens = (self.last(name) for name in _COPY_STATE)
        return None if ids is None or tokens is None else CopyState(ids, tokens)

    def rows(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply ``change`` to the batch dimension of everything."""
        self._chunks = {name: [change(each) for each in chunks] for name, chunks in self._chunks.items()}
        self.context = None

    def crop(self, length: int) -> None:
        """Keep the first ``length`` positions."""
        if length >= self._length:
            return
        kept = {name: [self.all(name)[:, :length]] for name in self._chunks}
        self._chunks = kept if length else {}
        self._length = length
        self.context = None


class GrowingLayer(DynamicLayer):
    """A DynamicLayer with room for the tokens to come: what is there is not copied for each of them."""

    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self._room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The keys and values (B, heads, T, head_dim) of all tokens, the new ones among them."""
        if torch.is_grad_enabled():  # what a gradient goes back through is not written over
            return super().update(key_states, value_states, *args, **kwargs)
        known = self.get_seq_length()
        length = known + key_states.shape[-2]
        room = self._room
        if known == 0 or room is None or not self._has_room(room[0], key_states, length):
            room = self._room = self._larger(key_states, length), self._larger(value_states, length)
            if known:
                room[0][..., :known, :], room[1][..., :known, :] = self.keys, self.values
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        self.keys, self.values = room[0][..., :length, :], room[1][..., :length, :]
        self.keys[..., known:, :], self.values[..., known:, :] = key_states, value_states
        return self.keys, self.values

    def _has_room(self, room: Tensor, new: Tensor, length: int) -> bool:
        """Whether ``room`` begins with what is known, and ``length`` tokens fit."""
        return (
            room.shape[0] == new.shape[0]
            and room.shape[-2] >= length
            and room.data_ptr() == self.keys.data_ptr()
            and (torch.is_inference_mode_enabled() or not room.is_inference())
        )

    @staticmethod
    def _larger(new: Tensor, length: int) -> Tensor:
        rows, heads, _, width = new.shape
        return new.new_empty(rows, heads, (length // ROOM + 1) * ROOM, width)


class MemoryCache(DynamicCache):
    """A DynamicCache with the memory layer's state."""

    layers: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in self.layers]
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
        """Remove the last tokens, as many as a negative number says."""
        super().crop(*args, **kwargs)
        self.memory_state.crop(self.get_seq_length())

    def reset(self) -> None:
        super().reset()
        self.memory_state = MemoryState()


class GeneratesWithMemoryCache:
    """Mixed in before a causal LM: ``generate`` keeps the memory layer's state too."""

    config: Any

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        found = super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)  # type: ignore[misc]
        cache = model_kwargs.get("past_key_values")
        if type(cache) is DynamicCache and not cache.get_seq_length():
            model_kwargs["past_key_values"] = MemoryCache(config=self.config)
        return found


def memory_state_of(cache: Any) -> MemoryState:
    """The memory state of ``cache``, put there if it has none."""
    state = getattr(cache, "memory_state", None)
    if state is None:
        state = cache.memory_state = MemoryState()
    return state


def real_tokens(attention_mask: Tensor | None, length: int) -> Tensor | None:
    """(B, length) bool, which of the last ``length`` tokens are no padding; None where all are, or where the mask
    (B, all tokens) does not tell."""
    if attention_mask is None or attention_mask.ndim != 2 or attention_mask.shape[1] < length:
        return None
    real = attention_mask[:, attention_mask.shape[1] - length :] > 0
    return None if bool(real.all()) else real
