"""Pass: what one forward pass does with the memory, as the decoder's layers call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from varda_chat.models.addressing import ASSISTANT, Address, Roles, addresses, roles_of
from varda_chat.models.copy_chain import ChainedMemory, CopyState, chain_successors
from varda_chat.models.memory_cache import MemoryState
from varda_chat.models.memory_layer import MemoryLayer
from varda_chat.models.results import BatchMemory, SearchResults, without_padding


@dataclass
class Pass:
    """What one forward pass does with the memory: the layers show it their hidden states, and it fills in the rest.

    memory: what to search, or a maker of it (BatchMemory); ids (B, T); statements (B, T) or None; status (B,) or (B, T)
    long or None; state: the cache's, or None; real (B, T) bool: no padding, None where all are.
    """

    layer: MemoryLayer
    embed: nn.Module
    memory: Any
    ids: Tensor
    statements: Tensor | None
    status: Tensor | None
    state: MemoryState | None
    real: Tensor | None = None
    stop_below: bool = False
    taps: list[Tensor] | None = None
    features: Tensor | None = None
    roles: Roles | None = None
    address: Address | None = None
    query: Tensor | None = None
    vectors: Tensor | None = None
    store_logits: Tensor | None = None
    results: SearchResults | None = None
    weights: Tensor | None = None
    no_match: Tensor | None = None

    def apply_memory(self, index: int, hidden: Tensor) -> Tensor:
        """Tap, search and read where it is this layer's turn, with the hidden states (B, T, width) after ``index``
        decoder layers; returns the states for the next layer."""
        config = self.layer.config
        assert config.feature_layers is not None
        if index in config.feature_layers:
            self.taps = [*(self.taps or []), F.rms_norm(hidden.float(), hidden.shape[-1:])]
        if index == config.memory_layer:
            with torch.autocast(hidden.device.type, enabled=False):
                hidden = self._apply(hidden)
            if self.stop_below:
                raise StopBelow
        return hidden

    def read_from(self, taps: list[Tensor]) -> None:
        """Fill in what the lower layers give, from their states of an earlier pass, (B, T, …) each."""
        self.taps = taps
        self._apply(torch.zeros(()))

    def _apply(self, hidden: Tensor) -> Tensor:
        assert self.taps is not None
        layer, new = self.layer, self.ids.shape[1]
        self.features = layer.features(self.taps)
        if self.real is not None:  # to a token behind padding, as to a first one, nothing comes before
            self.features = self.features * self.real.unsqueeze(-1)
        before, ids, features = self._with_history()
        self.roles, self.address = self._address(ids, features, new)
        if self.statements is not None:
            self.vectors, self.store_logits = layer.write(
                self.features, before, self.statements, self.roles, self.address
            )
        if isinstance(self.memory, BatchMemory):
            assert self.vectors is not None and self.store_logits is not None
            self.memory = self.memory.over(self.vectors, self.store_logits)
        self.query = layer.query(self.features, before, self.address)
        reply = self.roles.role == ASSISTANT
        status = self.status
        if status is not None:
            if status.ndim == 1:
                status = status.unsqueeze(1).expand(-1, new)
            status = status.masked_fill(~reply, -1)
        self.no_match = layer.no_match_scores(self.features, self.address, status)
        copy_state: CopyState | None = None
        if self.memory is not None:
            found = without_padding(self.memory.search(self.query, layer.config.num_search_results), self.real)
            continued = None
            if isinstance(self.memory, ChainedMemory) and found.token_ids is not None:
                earlier = None if self.state is None else self.state.last_copy_state
                found, continued, copy_state = _continue_copies(found, self.query, self.ids, earlier, self.memory)
            self.results = found
            self.weights = layer.weights(self.query, found, self.no_match, continued)
            hidden = hidden + (layer.read(found, self.weights, self.embed) * reply.unsqueeze(-1)).to(hidden.dtype)
        if status is not None:
            told = self.roles.header & (status >= 0)
            hidden = hidden + (layer.status(status.clamp_min(0)) * told.unsqueeze(-1)).to(hidden.dtype)
        if self.state is not None:
            self.state.append(copy_state, ids=self.ids, features=self.features.detach())
            self.state.context = (self.roles, self.address)
        return hidden

    def _with_history(self) -> tuple[Tensor, Tensor, Tensor]:
        """The features of the token before each; and ids and features of all tokens that the turn depends on."""
        assert self.features is not None
        last = None if self.state is None else self.state.last("features")
        if self.state is None or last is None:
            first = torch.zeros_like(self.features[:, :1])
            return torch.cat([first, self.features[:, :-1]], dim=1), self.ids, self.features
        before = torch.cat([last, self.features[:, :-1]], dim=1)
        if self.state.context is not None and self._is_reply():
            return before, self.ids, self.features  # the turn is summarised already
        ids, features = self.state.all("ids"), self.state.all("features")
        return before, torch.cat([ids, self.ids], dim=1), torch.cat([features, self.features], dim=1)

    def _is_reply(self) -> bool:
        """Whether the new tokens continue the reply at hand, so that nothing of the turn changes."""
        assert self.state is not None
        roles, _ = self.state.context
        config = self.layer.config
        same = bool((roles.role[:, -1] == ASSISTANT).all()) and not bool(roles.header[:, -1].any())
        return same and not bool((self.ids == config.start_token_id).any())

    def _address(self, ids: Tensor, features: Tensor, new: int) -> tuple[Roles, Address]:
        if self.state is not None and self.state.context is not None and ids.shape[1] == new and len(self.state):
            roles, address = self.state.context
            shape = (-1, new)
            # what follows the reply's end is no text
            before = self.state.last("ids")
            assert before is not None
            ends = torch.cat([before, ids[:, :-1]], dim=1) == self.layer.config.end_token_id
            last = Roles(
                roles.role[:, -1:].expand(shape), roles.text[:, -1:] & ~ends.cummax(dim=1).values,
                torch.zeros_like(ids, dtype=torch.bool), roles.turn_start[:, -1:].expand(shape),
                roles.turn[:, -1:].expand(shape),
            )  # fmt: skip
            of_turn = (each[:, -1:].expand(-1, new, -1) for each in (address.mean, address.end, address.previous))
            return last, Address(*of_turn)
        roles = roles_of(ids, self.layer.config)
        address = addresses(features, roles)
        if ids.shape[1] > new:
            roles = Roles(*(getattr(roles, name)[:, -new:] for name in Roles.__dataclass_fields__))
            address = Address(*(getattr(address, name)[:, -new:] for name in Address.__dataclass_fields__))
        return roles, address


def _continue_copies(results: Any, query: Tensor, ids: Tensor, earlier: CopyState | None, memory: ChainedMemory) -> Any:
    """``chain_successors``, with an earlier state of another width (of a step without results) made to fit."""
    if earlier is not None:
        missing = results.ids.shape[-1] + 1 - earlier.ids.shape[-1]
        if missing > 0:
            earlier = CopyState(*(F.pad(each, (0, missing), value=-1) for each in earlier))
    return chain_successors(results, query, ids, earlier, memory)


class StopBelow(Exception):  # noqa: N818 (a signal, not an error)
    """Ends a pass at the memory layer, where only the lower layers are wanted."""
