"""What a model needs of a memory: the protocols it searches by, SearchResults, and EmptyMemory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

MASKED_SCORE = -1e4
"""Score of a result that is not there: exp() of it is zero in float32, and it stays finite in every dtype."""


@dataclass(frozen=True)
class SearchResults:
    """What a memory answers to a query of shape (batch, seq, memory_dim); k = ``num_search_results``.

    ids: (batch, seq, k) long, -1 where there are fewer than k.
    distances: (batch, seq, k) float, squared L2, inf where there is none; nearest first.
    vectors: (batch, seq, k, memory_dim) float, 0 where there is none.
    token_ids: (batch, seq, k) long, the token each vector was taken at, -1 where there is none; None where the
        memory does not know tokens: then nothing is copied.
    log_gates: (batch, seq, k) float or None: log-probability that the vector is in the memory at all. None (as
        in chat) means that everything found is there.
    """

    ids: Tensor
    distances: Tensor
    vectors: Tensor
    token_ids: Tensor | None = None
    log_gates: Tensor | None = None


@runtime_checkable
class Memory(Protocol):
    """Anything that can be searched: the index of a chat, or the episode's own vectors in training.

    What comes back needs the fields of SearchResults, whatever its class.
    """

    def search(self, query: Tensor, k: int) -> Any: ...


@runtime_checkable
class BatchMemory(Protocol):
    """A memory made of the vectors that the same forward pass writes, as in training on whole episodes."""

    def over(self, vectors: Tensor, store_logits: Tensor) -> Memory: ...


def without_padding(results: Any, real: Tensor | None) -> Any:
    """``results`` of (batch, seq) queries, of which those of padding (not ``real``) find nothing."""
    if real is None:
        return results
    found, tokens = real.unsqueeze(-1), results.token_ids
    return replace(
        results,
        ids=results.ids.masked_fill(~found, -1),
        token_ids=None if tokens is None else tokens.masked_fill(~found, -1),
    )


class EmptyMemory:
    """A memory of one vector of zeros, which fits nothing: what a chat reads while its memory is empty.

    Without any result the model is plain GPT-2. In training there was always something in memory, and replies are
    better where at least a vector that fits nothing is read.
    """

    size = 0

    def search(self, query: Tensor, k: int) -> SearchResults:
        """The vector of zeros, without a token, as the only result."""
        shape = (*query.shape[:-1], k)
        ids = torch.full(shape, -1, device=query.device)
        ids[..., 0] = 0
        distances = torch.full(shape, torch.inf, device=query.device)
        distances[..., 0] = query.pow(2).sum(-1)
        return SearchResults(ids, distances, torch.zeros(*shape, query.shape[-1], device=query.device))
