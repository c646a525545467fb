"""What VardaGPTAssociative adds to GPT-2: the memory layer, the heads on top, and their part in a forward pass."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from varda_chat.models.building import RareDecision
from varda_chat.models.copy_chain import ChainedMemory, CopyState, chain_successors
from varda_chat.models.gpt2_configuration import VardaGPTConfig
from varda_chat.models.memory_cache import MemoryState
from varda_chat.models.pooling import RunningMean, running_means, segment_mean_pool
from varda_chat.models.results import MASKED_SCORE, BatchMemory, Memory, SearchResults, without_padding


class GPT2MemoryLayer(nn.Module):
    """The parts between the residual stream and the memory: query, read (``fc``), and what is written."""

    def __init__(self, config: VardaGPTConfig) -> None:
        super().__init__()
        width, dim, k = config.n_embd, config.memory_dim, config.num_search_results
        self.config = config
        self.ln_query = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.ln_store = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.fc_query = nn.Linear(width * (2 if config.query_context else 1), dim)
        self.fc = nn.Linear(width + k * dim, width)
        self.fc_storable_vector = nn.Linear(width * config.written_from, dim)
        self.fc_store_decision = nn.Linear(width * config.written_from, 1)
        self.fc_null = nn.Linear(width, 1, bias=False) if config.null_by_state else None
        self.null_read = nn.Parameter(torch.empty(width)) if config.null_result and config.read_null else None
        self.log_scale = nn.Parameter(torch.empty(()))
        self.null_score = nn.Parameter(torch.empty(()))
        self.follow_score = nn.Parameter(torch.empty(())) if config.follow_copies else None

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initial values: reading changes nothing yet (from_pretrained builds on the meta device, so that these are not
        set in ``__init__``)."""
        config = self.config
        init.normal_(self.fc.weight, mean=0.0, std=config.initializer_range)
        identity = torch.eye(config.n_embd, dtype=self.fc.weight.dtype, device=self.fc.weight.device)
        init.copy_(self.fc.weight[:, : config.n_embd], identity)
        init.zeros_(self.fc.bias)
        init.constant_(self.log_scale, math.log(config.score_scale))
        init.constant_(self.null_score, config.null_similarity)
        if self.follow_score is not None:
            init.constant_(self.follow_score, config.follow_similarity)
        if self.null_read is not None:
            init.zeros_(self.null_read)
        if self.fc_null is not None:
            init.zeros_(self.fc_null.weight)

    def query(
        self, hidden: Tensor, before: RunningMean | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, RunningMean | None]:
        """Memory input: states (B, T, n_embd), and the running mean of those before them, -> unit vectors (B, T, D),
        float32, and the running mean at each; ``real`` (B, T) bool: no padding, None where all are."""
        state = self.ln_query(hidden)
        after = None
        if self.config.query_context:
            means, after = running_means(state, before, self.config.query_decay, real)
            state = torch.cat([state, means], dim=-1)
        return F.normalize(self.fc_query(state).float(), dim=-1), after

    def write(
        self, hidden: Tensor, previous: Tensor | None, statements: Tensor | None, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the tokens would store.

        Args:
            hidden: states (B, T, n_embd).
            previous: the written state before the first of them (B, 1, n_embd), None at the start.
            statements: (B, T) long, equal numbers for the tokens of one statement of a row, -1 for those of none; None
                where no statement is finished, as while a reply is being written. Such vectors are not for storing.
            real: (B, T) bool, no padding; None where all are. Before the token behind padding comes nothing.

        Returns storable vectors (B, T, D), unit length, and store logits (B, T, 1), both float32; and the states that
        they were written from (B, T, n_embd).
        """
        state = written = self.ln_store(hidden)
        if real is not None:
            written = written * real.unsqueeze(-1)
        parts = [state]
        if self.config.store_previous_state:
            first = torch.zeros_like(state[:, :1]) if previous is None else previous.to(state.dtype)
            parts.append(torch.cat([first, written[:, :-1]], dim=1))
        if self.config.store_statement_state:
            parts.append(torch.zeros_like(state) if statements is None else segment_mean_pool(state, statements))
        state = torch.cat(parts, dim=-1)
        vectors = F.normalize(self.fc_storable_vector(state).float(), dim=-1)
        return vectors, self.fc_store_decision(state).float(), written

    def scores(self, similarity: Tensor, log_gates: Tensor | None) -> Tensor:
        """Read scores before the softmax: tau * q.v + log gate, float32, of the same shape as ``similarity``."""
        scores = self.log_scale.exp().float() * similarity
        return scores if log_gates is None else scores + log_gates

    def no_match_scores(self, hidden: Tensor) -> Tensor:
        """Score of "nothing fits" at tokens with states (..., n_embd), before the read: a learned similarity, on the
        scale of the others, higher or lower as the state says; (..., 1)."""
        similarity = self.null_score.float().expand(*hidden.shape[:-1], 1)
        if self.fc_null is not None:
            similarity = similarity + self.fc_null(self.ln_query(hidden)).float()
        return self.log_scale.exp().float() * similarity

    def weights(self, hidden: Tensor, query: Tensor, results: SearchResults, continued: Tensor | None = None) -> Tensor:
        """Read weights (B, T, k) of ``results``, of which those that continue a copy (``continued``, bool, the same
        shape) fit better by a learned similarity; what is missing to 1 lies on the no-match slot."""
        similarity = torch.einsum("btd,btkd->btk", query, results.vectors.float())
        if continued is not None and self.follow_score is not None:
            similarity = similarity + self.follow_score.float() * continued
        found = results.ids >= 0
        scores = self.scores(similarity, results.log_gates).masked_fill(~found, MASKED_SCORE)
        if self.config.null_result:
            weights = torch.cat([scores, self.no_match_scores(hidden)], dim=-1).softmax(dim=-1)[..., :-1]
        else:
            weights = scores.softmax(dim=-1)
        return weights * found

    def read(self, hidden: Tensor, results: SearchResults, weights: Tensor) -> Tensor:
        """Concatenate the hidden states with the weighted results and mix them by ``fc``: (B, T, n_embd); what
        is missing to 1 in the weights reads the no-match slot's own vector. A token that found nothing keeps its state,
        so an empty memory leaves plain GPT-2."""
        # unit vectors have entries of size 1/sqrt(D); the factor brings them to the scale of the states
        weighted = weights.unsqueeze(-1) * results.vectors.float() * math.sqrt(self.config.memory_dim)
        concatenated = torch.cat([hidden, weighted.flatten(-2).to(hidden.dtype)], dim=-1)
        found = (results.ids >= 0).any(dim=-1, keepdim=True)
        mixed = self.fc(concatenated).to(hidden.dtype)
        if self.null_read is not None:
            nothing = 1.0 - weights.sum(dim=-1, keepdim=True)
            mixed = mixed + (nothing * self.null_read).to(hidden.dtype)
        return torch.where(found, mixed, hidden)

    def read_out(self, vectors: Tensor) -> Tensor:
        """What a vector (n, D) adds to the residual stream when it alone is read, with weight 1, in the first slot:
        (n, n_embd)."""
        start = self.config.n_embd
        block = self.fc.weight[:, start : start + self.config.memory_dim]
        return F.linear(vectors * math.sqrt(self.config.memory_dim), block)


class GPT2MemoryHeads(nn.Module):
    """What the top of the model says about the memory: what to delete, and how much to copy."""

    def __init__(self, config: VardaGPTConfig) -> None:
        super().__init__()
        self.fc_deletable_vector = nn.Linear(config.n_embd, config.memory_dim)
        self.fc_delete_decision = RareDecision(config.n_embd + config.memory_dim, 1)
        self.fc_copy_decision = RareDecision(config.n_embd, 1) if config.copy_results else None

    def deletable_vector(self, hidden: Tensor) -> Tensor:
        """(B, T, n_embd) -> unit vectors (B, T, D), float32."""
        return F.normalize(self.fc_deletable_vector(hidden).float(), dim=-1)

    def delete_logits(self, hidden: Tensor, vectors: Tensor) -> Tensor:
        """Delete decisions (B, T, n) of tokens with top states (B, T, n_embd) on vectors (B, T or 1, n, D): one
        linear layer over the two, concatenated."""
        widths = [hidden.shape[-1], vectors.shape[-1]]
        of_token, of_vector = self.fc_delete_decision.weight.split(widths, dim=1)
        by_token = F.linear(hidden, of_token, self.fc_delete_decision.bias).float()
        return by_token + F.linear(vectors.to(of_vector.dtype), of_vector).squeeze(-1).float()


class GPT2MemoryPass:
    """What one forward pass does with the memory; each block calls it with the hidden states that reach it.

    tokens (B, T), None for given embeddings; state: the cache's, or None; real (B, T) bool: no padding, None where all
    are.
    """

    def __init__(
        self,
        layer: GPT2MemoryLayer,
        memory: Memory | BatchMemory | None,
        statements: Tensor | None,
        tokens: Tensor | None,
        state: MemoryState | None,
        real: Tensor | None,
    ) -> None:
        self.layer = layer
        self.memory: Any = memory
        self.statements = statements
        self.tokens = tokens
        self.state = state
        self.real = real
        self.written: Tensor | None = None
        self.mean: RunningMean | None = None
        self.copy_state: CopyState | None = None
        self.unread: Tensor | None = None
        self.query: Tensor | None = None
        self.vectors: Tensor | None = None
        self.store_logits: Tensor | None = None
        self.results: SearchResults | None = None
        self.weights: Tensor | None = None

    def apply_memory(self, index: int, hidden: Tensor) -> Tensor:
        """Write, search and read where it is this layer's turn, with the hidden states (B, T, n_embd) after ``index``
        blocks; returns the states for the next block."""
        config = self.layer.config
        if index == config.store_layer:
            previous = None if self.state is None else self.state.last("written")
            self.vectors, self.store_logits, self.written = self.layer.write(
                hidden, previous, self.statements, self.real
            )
        if index == config.memory_layer:
            self.unread = hidden
            self.query, self.mean = self.layer.query(hidden, self._mean_before(), self.real)
            if isinstance(self.memory, BatchMemory):
                if self.vectors is None or self.store_logits is None:
                    raise ValueError("a batch memory needs store_layer <= memory_layer")
                self.memory = self.memory.over(self.vectors, self.store_logits)
            if self.memory is not None:
                found = self.memory.search(self.query, config.num_search_results)
                self.results = without_padding(found, self.real)
                continued = self._continue_copies()
                self.weights = self.layer.weights(hidden, self.query, self.results, continued)
                hidden = self.layer.read(hidden, self.results, self.weights)
        return hidden

    def finish(self) -> None:
        """Keep what the next step needs: cached decoding reads and writes what uncached does."""
        if self.state is None:
            return
        assert self.written is not None
        tensors = {"written": self.written.detach()}
        if self.mean is not None:
            rows = len(self.written)
            tensors |= {"total": self.mean.total, "weight": self.mean.weight.expand(rows, -1, -1)}
        self.state.append(self.copy_state, **tensors)

    def _mean_before(self) -> RunningMean | None:
        if self.state is None or not self.layer.config.query_context:
            return None
        total, weight = self.state.last("total"), self.state.last("weight")
        return None if total is None or weight is None else RunningMean(total, weight)

    def _continue_copies(self) -> Tensor | None:
        """Put the successors of what is being copied among the results; which of them these are."""
        if not (self.layer.config.follow_copies and isinstance(self.memory, ChainedMemory)) or self.tokens is None:
            return None
        assert self.query is not None
        before = None if self.state is None else self.state.last_copy_state
        self.results, continued, self.copy_state = chain_successors(
            self.results, self.query, self.tokens, before, self.memory
        )
        return continued
