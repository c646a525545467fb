"""Copying from the memory: tokens of results are mixed into the next-token distribution, and copies are continued.

A name is several tokens, each with a vector of its own. When a token is what a result of the step before holds, the
vector that was stored after that result, in the same statement, is the likeliest to be wanted next, so it becomes a
result too (pointers between stored entries: RetoMaton, Alon et al. 2022, "Neuro-Symbolic Language Modeling with
Automaton-augmented Retrieval").
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class ChainedMemory(Protocol):
    """A memory that knows what was stored after what. Ids (batch, seq, n) long, -1 for none, in and out."""

    def successors(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids of the vectors stored next in the statements of ``ids``, and their tokens; -1 where there is none."""
        ...

    def vectors_of(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Vectors (batch, seq, n, memory_dim) and log gates (batch, seq, n) or None, as in SearchResults; 0 for -1."""
        ...


class CopyState(NamedTuple):
    """What may be copied at each step: ids and token_ids (batch, seq, k + 1), the successor of the last copy first."""

    ids: Tensor
    token_ids: Tensor


def chain_successors(
    results: Any, query: Tensor, tokens: Tensor, before: CopyState | None, memory: ChainedMemory
) -> tuple[Any, Tensor, CopyState]:
    """Put the successor of what is being copied among the results.

    Args:
        results: SearchResults of every step, with tokens.
        query: (batch, seq, memory_dim).
        tokens: (batch, seq), the model's input; a step's results stand for the token after it.
        before: the state of the step before the first one, (batch, 1, n) each; None at the start.

    Returns the results, in which the successor replaces the farthest where it was not found anyway; which of them is
    the successor (batch, seq, k) bool; and the state of every step, the last one for the step after.
    """
    nothing = torch.full_like(results.ids[..., :1], -1)
    successor, successor_tokens = nothing, nothing
    while True:  # each round takes every chain one step further; it ends where the longest one does
        state = CopyState(torch.cat([successor, results.ids], -1), torch.cat([successor_tokens, results.token_ids], -1))
        ids, said = _shifted(state.ids, before and before.ids), _shifted(state.token_ids, before and before.token_ids)
        copied = (said == tokens.unsqueeze(-1)) & (ids >= 0)
        first = copied.int().argmax(dim=-1, keepdim=True)
        source = ids.gather(-1, first).masked_fill(~copied.any(dim=-1, keepdim=True), -1)
        after, after_tokens = memory.successors(source)
        if torch.equal(after, successor):
            break
        successor, successor_tokens = after, after_tokens
    if not bool((successor >= 0).any()):
        return results, torch.zeros_like(results.ids, dtype=torch.bool), state
    there = (results.ids == successor) & (successor >= 0)
    missing = (successor >= 0) & ~there.any(dim=-1, keepdim=True)  # (batch, seq, 1)
    place = torch.zeros_like(there)
    place[..., -1:] = missing
    vectors, gates = memory.vectors_of(successor)
    distances = (query.detach().unsqueeze(2) - vectors.detach().to(query.dtype)).pow(2).sum(-1)
    return (
        replace(
            results,
            ids=torch.where(place, successor, results.ids),
            distances=torch.where(place, distances, results.distances),
            vectors=torch.where(place.unsqueeze(-1), vectors.to(results.vectors.dtype), results.vectors),
            token_ids=torch.where(place, successor_tokens, results.token_ids),
            **({} if gates is None else {"log_gates": torch.where(place, gates, results.log_gates)}),
        ),
        there | place,
        state,
    )


def _shifted(steps: Tensor, before: Tensor | None) -> Tensor:
    """Each step's (batch, seq, n) replaced by that of the step before it."""
    first = torch.full_like(steps[:, :1], -1) if before is None else before
    return torch.cat([first, steps[:, :-1]], dim=1)


def mix_copy_distribution(logits: Tensor, copy_decision: Tensor, weights: Tensor, token_ids: Tensor) -> Tensor:
    """Next-token distribution (1 - lambda * sum w) * LM + lambda * sum_i w_i [token of result i], as logits (B, T, V).

    lambda = sigmoid(copy_decision (B, T, 1)); weights and token_ids are (B, T, k). The rows keep the LM's own
    normaliser, so a row without results comes back unchanged (to float error).
    """
    found = token_ids >= 0
    share = torch.sigmoid(copy_decision) * weights * found
    copied = torch.zeros(logits.shape, dtype=torch.float32, device=logits.device)
    copied = copied.scatter_add(-1, token_ids.clamp_min(0), share)
    normaliser = logits.float().logsumexp(dim=-1, keepdim=True)
    kept = torch.log1p(-share.sum(dim=-1, keepdim=True).clamp_max(1 - 1e-6))
    return torch.logaddexp(logits.float() + kept, copied.clamp_min(torch.finfo(torch.float32).tiny).log() + normaliser)
