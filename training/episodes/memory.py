"""EpisodeMemory: the differentiable memory of training. An episode's own vectors, visible from later turns only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from varda_chat.models.results import MASKED_SCORE, SearchResults


@dataclass(frozen=True)
class EpisodeMemory:
    """The memory of a batch of E episodes with S sessions of T tokens each (model rows: E*S).

    A token sees the vectors of the turns before its own, in whichever session, as in chat, where a turn's stores are
    applied when it ends; ``visible`` says which. Negatives are vectors from elsewhere that every token sees.

    tokens: (E, N = S*T) long. visible: (E, N, N) bool, [e, reader, vector]. sessions: S.
    negatives: (M, D), negative_tokens: (M,) and hidden_negatives: (E, M) bool, those that an episode does not
        see; or None.
    statements: (E, N) long, numbers of the sentences or clauses that the tokens stand in, -1 for none; what was stored
        next in one may be followed. None: nothing is followed.
    hard_gates: store what exceeds ``store_threshold``, as in chat (gradient straight through), instead of weighing
        everything by its log-probability.
    Bound by ``over``: vectors (E, N, D), log_gates (E, N) as read, and soft_gates (E, N), the log-probabilities.
    """

    tokens: Tensor
    visible: Tensor
    sessions: int
    negatives: Tensor | None = None
    negative_tokens: Tensor | None = None
    hidden_negatives: Tensor | None = None
    hard_gates: bool = False
    store_threshold: float = 0.5
    statements: Tensor | None = None
    vectors: Tensor | None = None
    log_gates: Tensor | None = None
    soft_gates: Tensor | None = None

    def over(self, vectors: Tensor, store_logits: Tensor) -> EpisodeMemory:
        """This memory filled with the vectors (E*S, T, D) and store logits (E*S, T, 1) of a forward pass."""
        episodes, length = self.tokens.shape
        soft_gates = torch.nn.functional.logsigmoid(store_logits.float()).reshape(episodes, length)
        log_gates = soft_gates
        if self.hard_gates:
            stored = torch.sigmoid(store_logits.float()).reshape(episodes, length) > self.store_threshold
            hard = torch.zeros_like(log_gates).masked_fill(~stored, MASKED_SCORE)
            log_gates = hard + soft_gates - soft_gates.detach()
        return replace(self, vectors=vectors.reshape(episodes, length, -1), log_gates=log_gates, soft_gates=soft_gates)

    def gates(self) -> Tensor:
        """Log-probability of being in memory for each reader and candidate: (E, N, N + M)."""
        assert self.log_gates is not None
        gates = self.log_gates.unsqueeze(1).expand(self.visible.shape).masked_fill(~self.visible, MASKED_SCORE)
        if self.negatives is not None:
            extra = self.negative_gates().unsqueeze(1).expand(-1, gates.shape[1], -1)
            gates = torch.cat([gates, extra], dim=-1)
        return gates

    def negative_gates(self) -> Tensor:
        """Log-probability of each negative being in an episode's memory: (E, M), 0 or MASKED_SCORE."""
        assert self.negatives is not None
        gates = self.negatives.new_zeros(len(self.tokens), len(self.negatives))
        return gates if self.hidden_negatives is None else gates.masked_fill(self.hidden_negatives, MASKED_SCORE)

    def similarity(self, query: Tensor) -> Tensor:
        """q.v of queries (E, N, D) with every candidate: (E, N, N + M)."""
        assert self.vectors is not None
        similarity = torch.einsum("end,emd->enm", query, self.vectors)
        if self.negatives is not None:
            similarity = torch.cat([similarity, query @ self.negatives.T], dim=-1)
        return similarity

    def search(self, query: Tensor, k: int) -> SearchResults:
        """The k nearest of the vectors that are in the memory; queries (E*S, T, D). Ids are positions in the episode,
        then negatives. The choice passes no gradient; vectors and gates of the chosen do."""
        assert self.vectors is not None
        episodes, length = self.tokens.shape
        flat = query.reshape(episodes, length, -1)
        gates = self.gates()
        with torch.no_grad():
            # nearest among the stored: a gate that is shut hides its vector, an open one does not change the order
            ranking = self.similarity(flat.detach()) + gates.clamp(min=MASKED_SCORE) * 0.1
            count = min(k, ranking.shape[-1])
            ids = ranking.topk(count, dim=-1).indices
        candidates = self.vectors
        tokens = self.tokens
        if self.negatives is not None and self.negative_tokens is not None:
            candidates = torch.cat([candidates, self.negatives.expand(episodes, -1, -1)], dim=1)
            tokens = torch.cat([tokens, self.negative_tokens.expand(episodes, -1)], dim=1)
        rows = (torch.arange(episodes, device=ids.device)[:, None, None] * candidates.shape[1] + ids).flatten()
        vectors = candidates.flatten(0, 1).index_select(0, rows).view(*ids.shape, -1)
        log_gates = gates.gather(-1, ids)
        found = log_gates > MASKED_SCORE / 2
        vectors = vectors * found.unsqueeze(-1)
        distances = (flat.detach().unsqueeze(2) - vectors.detach()).pow(2).sum(-1).masked_fill(~found, torch.inf)
        results = SearchResults(
            ids=ids.masked_fill(~found, -1),
            distances=distances,
            vectors=vectors,
            token_ids=tokens.flatten().index_select(0, rows).view(ids.shape).masked_fill(~found, -1),
            log_gates=log_gates,
        )
        return _in_rows(_padded(results, k), episodes * self.sessions)

    def successors(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (E*S, T, n) of the vectors stored next in the statements of ``ids``, and their tokens; -1 for none."""
        assert self.log_gates is not None
        if self.statements is None:
            nothing = torch.full_like(ids, -1)
            return nothing, nothing
        total = self.tokens.shape[1]
        places = torch.arange(total, device=ids.device)
        stored = (self.log_gates > MASKED_SCORE / 2) & (self.statements >= 0)
        # from the end, the nearest stored place at or after each
        next_stored = torch.where(stored, places, total).flip(1).cummin(dim=1).values.flip(1)
        after = torch.nn.functional.pad(next_stored[:, 1:], (0, 1), value=total)
        owner = torch.nn.functional.pad(self.statements, (0, 1), value=-2)
        after = after.masked_fill(owner.gather(1, after) != self.statements, -1)
        flat = ids.reshape(len(self.tokens), -1)
        known = (flat >= 0) & (flat < total)
        found = after.gather(1, flat.clamp(0, total - 1)).masked_fill(~known, -1)
        tokens = self.tokens.gather(1, found.clamp_min(0)).masked_fill(found < 0, -1)
        return found.view(ids.shape), tokens.view(ids.shape)

    def vectors_of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (E*S, T, n, D) and log gates (E*S, T, n) of the episode's own ``ids``; 0 and MASKED_SCORE for -1."""
        assert self.vectors is not None and self.log_gates is not None
        flat = ids.reshape(len(self.tokens), -1)
        there = flat >= 0
        rows = flat.clamp_min(0)
        vectors = self.vectors.gather(1, rows.unsqueeze(-1).expand(-1, -1, self.vectors.shape[-1]))
        gates = self.log_gates.gather(1, rows).masked_fill(~there, MASKED_SCORE)
        return (vectors * there.unsqueeze(-1)).view(*ids.shape, -1), gates.view(ids.shape)


def _padded(results: SearchResults, k: int) -> SearchResults:
    """``results`` widened to k columns of "nothing"."""
    missing = k - results.ids.shape[-1]
    if missing == 0:
        return results
    pad = torch.nn.functional.pad
    assert results.log_gates is not None and results.token_ids is not None
    return SearchResults(
        ids=pad(results.ids, (0, missing), value=-1),
        distances=pad(results.distances, (0, missing), value=torch.inf),
        vectors=pad(results.vectors, (0, 0, 0, missing)),
        token_ids=pad(results.token_ids, (0, missing), value=-1),
        log_gates=pad(results.log_gates, (0, missing), value=MASKED_SCORE),
    )


def _in_rows(results: SearchResults, rows: int) -> SearchResults:
    """(E, S*T, …) -> (E*S, T, …), the model's rows."""

    def rowed(tensor: Tensor) -> Tensor:
        return tensor.reshape(rows, -1, *tensor.shape[2:])

    assert results.log_gates is not None and results.token_ids is not None
    return SearchResults(
        ids=rowed(results.ids),
        distances=rowed(results.distances),
        vectors=rowed(results.vectors),
        token_ids=rowed(results.token_ids),
        log_gates=rowed(results.log_gates),
    )
