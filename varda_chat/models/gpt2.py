"""VardaGPTAssociative: a GPT-2 that reads an associative memory and decides what to store in it and delete from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, Cache, GPT2LMHeadModel, GPT2Model
from transformers import initialization as init
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.utils import ModelOutput

from varda_chat.models.building import without_layers
from varda_chat.models.copy_chain import Followable, Pool, follow
from varda_chat.models.gpt2_configuration import VardaGPTConfig
from varda_chat.models.memory_cache import (
    GeneratesWithMemoryCache,
    MemoryCache,
    MemoryState,
    memory_state_of,
    real_tokens,
)
from varda_chat.models.one_token_gpt2 import one_token, takes_short_way

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


@dataclass
class VardaGPTOutput(ModelOutput):
    """Result of :meth:`VardaGPTAssociative.forward`. Shapes with B batch, T seq, V vocab, D memory_dim, k results.

    logits: (B, T, V); with results, log-probabilities of the mixture up to a constant a row.
    query, storable_vector, deletable_vector: (B, T, D), unit length.
    store_decision: (B, T, 1) logit. delete_decision: (B, T, k) logit for each of ``delete_results``.
    copy_decision: (B, T, 1) logit, None where ``copy_results`` is off.
    search_results: what was read. read_weights: (B, T, k), the rest to 1 is the no-match slot's.
    delete_results: the results of searching for ``deletable_vector`` (None unless ``return_deletes``).
    last_hidden_state: (B, T, n_embd), what the heads saw. unread_state: (B, T, n_embd), the stream before the read.
    memory: the memory that was read: the one passed in, or what a BatchMemory made of this pass.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    query: Tensor | None = None
    storable_vector: Tensor | None = None
    deletable_vector: Tensor | None = None
    store_decision: Tensor | None = None
    delete_decision: Tensor | None = None
    copy_decision: Tensor | None = None
    read_weights: Tensor | None = None
    search_results: SearchResults | None = None
    delete_results: SearchResults | None = None
    last_hidden_state: Tensor | None = None
    unread_state: Tensor | None = None
    memory: Any = None


class MemoryReader(nn.Module):
    """The parts between the stream and the memory: query, read (``fc``), and what is written."""

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
            parts.append(torch.zeros_like(state) if statements is None else statement_means(state, statements))
        state = torch.cat(parts, dim=-1)
        vectors = F.normalize(self.fc_storable_vector(state).float(), dim=-1)
        return vectors, self.fc_store_decision(state).float(), written

    def scores(self, similarity: Tensor, log_gates: Tensor | None) -> Tensor:
        """Read scores before the softmax: tau * q.v + log gate, float32, of the same shape as ``similarity``."""
        scores = self.log_scale.exp().float() * similarity
        return scores if log_gates is None else scores + log_gates

    def null_scores(self, hidden: Tensor) -> Tensor:
        """Score of "nothing fits" at tokens with states (..., n_embd), before the read: a learned similarity, on the
        scale of the others, higher or lower as the state says; (..., 1)."""
        similarity = self.null_score.float().expand(*hidden.shape[:-1], 1)
        if self.fc_null is not None:
            similarity = similarity + self.fc_null(self.ln_query(hidden)).float()
        return self.log_scale.exp().float() * similarity

    def weights(self, hidden: Tensor, query: Tensor, results: SearchResults, followed: Tensor | None = None) -> Tensor:
        """Read weights (B, T, k) of ``results``, of which those that are ``followed`` (bool, the same shape) fit better
        by a learned similarity; what is missing to 1 lies on the no-match slot."""
        similarity = torch.einsum("btd,btkd->btk", query, results.vectors.float())
        if followed is not None and self.follow_score is not None:
            similarity = similarity + self.follow_score.float() * followed
        found = results.ids >= 0
        scores = self.scores(similarity, results.log_gates).masked_fill(~found, MASKED_SCORE)
        if self.config.null_result:
            weights = torch.cat([scores, self.null_scores(hidden)], dim=-1).softmax(dim=-1)[..., :-1]
        else:
            weights = scores.softmax(dim=-1)
        return weights * found

    def read(self, hidden: Tensor, results: SearchResults, weights: Tensor) -> Tensor:
        """Concatenate the stream with the weighted results and mix them by ``fc``: (B, T, n_embd); what is missing to
        1 in the weights reads the no-match slot's own vector. A token that found nothing keeps its state, so an empty
        memory leaves plain GPT-2."""
        # unit vectors have entries of size 1/sqrt(D); the factor brings them to the stream's scale
        weighted = weights.unsqueeze(-1) * results.vectors.float() * math.sqrt(self.config.memory_dim)
        concatenated = torch.cat([hidden, weighted.flatten(-2).to(hidden.dtype)], dim=-1)
        found = (results.ids >= 0).any(dim=-1, keepdim=True)
        mixed = self.fc(concatenated).to(hidden.dtype)
        if self.null_read is not None:
            nothing = 1.0 - weights.sum(dim=-1, keepdim=True)
            mixed = mixed + (nothing * self.null_read).to(hidden.dtype)
        return torch.where(found, mixed, hidden)

    def read_out(self, vectors: Tensor) -> Tensor:
        """What a vector (n, D) says into the stream when it alone is read, with weight 1, in the first slot:
        (n, n_embd)."""
        start = self.config.n_embd
        block = self.fc.weight[:, start : start + self.config.memory_dim]
        return F.linear(vectors * math.sqrt(self.config.memory_dim), block)


class RunningMean(NamedTuple):
    """A mean in which what is older weighs less, at each of T states: weighted sums (B, T, n) and the sums of their
    weights (B or 1, T, 1)."""

    total: Tensor
    weight: Tensor


def running_means(
    state: Tensor, before: RunningMean | None, decay: float, real: Tensor | None = None
) -> tuple[Tensor, RunningMean]:
    """At each of the states (B, T, n) the mean of it and those before it, each weighing ``decay`` times the one after
    it; and what to go on with, at its last state. Padding, not ``real`` (B, T), does not count."""
    length = state.shape[1]
    there = torch.ones(1, length, device=state.device) if real is None else real.float()
    ages = there.cumsum(dim=1)  # (B or 1, T), states so far
    steps = (ages.unsqueeze(2) - ages.unsqueeze(1)).clamp_min(0)
    # (B or 1, T, T), [t, j] = decay^(states from j to t)
    kernel = torch.tril(torch.full_like(steps, decay) ** steps) * there.unsqueeze(1)
    sums, weights = kernel @ state.float(), kernel.sum(dim=2, keepdim=True)
    if before is not None:
        faded = (decay**ages).unsqueeze(2)
        sums, weights = sums + faded * before.total[:, -1:], weights + faded * before.weight[:, -1:]
    means = (sums / weights.clamp_min(torch.finfo(torch.float32).tiny)).to(state.dtype)
    return means, RunningMean(sums.detach(), weights)


def statement_means(state: Tensor, statements: Tensor) -> Tensor:
    """Each token's state (B, T, n) replaced by the mean over its statement (numbers (B, T)); 0 for none, -1."""
    rows, length, width = state.shape
    count = int(statements.max()) + 1 if statements.numel() else 0
    if count <= 0:
        return torch.zeros_like(state)
    # one more group a row, for the tokens of no statement
    group = torch.where(statements >= 0, statements, count)
    group = group + (count + 1) * torch.arange(rows, device=group.device).unsqueeze(1)
    group = group.flatten()
    sums = torch.zeros(rows * (count + 1), width, device=state.device).index_add(0, group, state.flatten(0, 1).float())
    sizes = torch.zeros(rows * (count + 1), 1, device=state.device)
    sizes = sizes.index_add(0, group, torch.ones(rows * length, 1, device=state.device))
    means = (sums / sizes.clamp_min(1.0)).index_select(0, group).view(rows, length, width)
    return means.masked_fill((statements < 0).unsqueeze(-1), 0.0).to(state.dtype)


class MemoryHeads(nn.Module):
    """What the top of the model says about the memory: what to delete, and how much to copy."""

    def __init__(self, config: VardaGPTConfig) -> None:
        super().__init__()
        self.fc_deletable_vector = nn.Linear(config.n_embd, config.memory_dim)
        self.fc_delete_decision = nn.Linear(config.n_embd + config.memory_dim, 1)
        self.fc_copy_decision = nn.Linear(config.n_embd, 1) if config.copy_results else None

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


class _ReadPass:
    """One forward pass's dealings with the memory; blocks call it as the stream goes by.

    tokens (B, T), None for given embeddings; state: the cache's, or None; real (B, T) bool: no padding, None where all
    are.
    """

    def __init__(
        self,
        reader: MemoryReader,
        memory: Memory | BatchMemory | None,
        statements: Tensor | None,
        tokens: Tensor | None,
        state: MemoryState | None,
        real: Tensor | None,
    ) -> None:
        self.reader = reader
        self.memory: Any = memory
        self.statements = statements
        self.tokens = tokens
        self.state = state
        self.real = real
        self.written: Tensor | None = None
        self.mean: RunningMean | None = None
        self.pool: Pool | None = None
        self.unread: Tensor | None = None
        self.query: Tensor | None = None
        self.vectors: Tensor | None = None
        self.store_logits: Tensor | None = None
        self.results: SearchResults | None = None
        self.weights: Tensor | None = None

    def at_layer(self, layer: int, hidden: Tensor) -> Tensor:
        """Called with the stream after ``layer`` blocks; returns the stream to go on with."""
        config = self.reader.config
        if layer == config.store_layer:
            previous = None if self.state is None else self.state.last("written")
            self.vectors, self.store_logits, self.written = self.reader.write(
                hidden, previous, self.statements, self.real
            )
        if layer == config.memory_layer:
            self.unread = hidden
            self.query, self.mean = self.reader.query(hidden, self._mean_before(), self.real)
            if isinstance(self.memory, BatchMemory):
                if self.vectors is None or self.store_logits is None:
                    raise ValueError("a batch memory needs store_layer <= memory_layer")
                self.memory = self.memory.over(self.vectors, self.store_logits)
            if self.memory is not None:
                found = self.memory.search(self.query, config.num_search_results)
                self.results = without_padding(found, self.real)
                followed = self._follow()
                self.weights = self.reader.weights(hidden, self.query, self.results, followed)
                hidden = self.reader.read(hidden, self.results, self.weights)
        return hidden

    def finish(self) -> None:
        """Keep what the next step goes on with: cached decoding reads and writes what uncached does."""
        if self.state is None:
            return
        assert self.written is not None
        tensors = {"written": self.written.detach()}
        if self.mean is not None:
            rows = len(self.written)
            tensors |= {"total": self.mean.total, "weight": self.mean.weight.expand(rows, -1, -1)}
        self.state.append(self.pool, **tensors)

    def _mean_before(self) -> RunningMean | None:
        if self.state is None or not self.reader.config.query_context:
            return None
        total, weight = self.state.last("total"), self.state.last("weight")
        return None if total is None or weight is None else RunningMean(total, weight)

    def _follow(self) -> Tensor | None:
        """Put what is being copied among the results; which of them it is."""
        if not (self.reader.config.follow_copies and isinstance(self.memory, Followable)) or self.tokens is None:
            return None
        assert self.query is not None
        before = None if self.state is None else self.state.last_pool
        self.results, followed, self.pool = follow(self.results, self.query, self.tokens, before, self.memory)
        return followed


class VardaGPTBlock(GPT2Block):
    """GPT-2's block, which shows the stream to the memory on its way in (and, the last one, on its way out).

    By ``__call__``, outside of gradient checkpointing: a recomputed block does not read the memory a second time.
    """

    def __init__(self, config: VardaGPTConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx=layer_idx)
        self.layer = layer_idx

    def __call__(self, hidden_states: Tensor, *args: Any, read_pass: _ReadPass | None = None, **kwargs: Any) -> Any:
        if read_pass is None:
            return super().__call__(hidden_states, *args, **kwargs)
        hidden_states = super().__call__(read_pass.at_layer(self.layer, hidden_states), *args, **kwargs)
        is_last = self.layer == read_pass.reader.config.n_layer - 1
        return read_pass.at_layer(self.layer + 1, hidden_states) if is_last else hidden_states


class VardaGPTModel(GPT2Model):
    """GPT2Model with our blocks; the names of its weights are GPT-2's."""

    config_class = VardaGPTConfig

    def __init__(self, config: VardaGPTConfig) -> None:
        with without_layers(config) as depth:
            super().__init__(config)
        self.h = nn.ModuleList(VardaGPTBlock(config, layer_idx=i) for i in range(depth))
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        read_pass: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As GPT2Model's. One token that goes on with a chat's cache takes the short way through the same blocks."""
        if takes_short_way(self, input_ids, past_key_values, attention_mask, kwargs):
            return one_token(self, input_ids, position_ids, past_key_values, read_pass)  # type: ignore[arg-type]
        return super().forward(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            read_pass=read_pass,
            **kwargs,
        )


class VardaGPTAssociative(GeneratesWithMemoryCache, GPT2LMHeadModel):
    """GPT-2 with an associative memory.

    ``forward`` reads ``memory`` and never changes it: it returns the vectors and decisions, and the caller applies
    them once a turn. Without a memory, or with an empty one, the logits are plain GPT-2's.
    """

    config_class = VardaGPTConfig

    def __init__(self, config: VardaGPTConfig) -> None:
        with without_layers(config):
            super().__init__(config)
        self.transformer = VardaGPTModel(config)
        self.memory_reader = MemoryReader(config)
        self.memory_heads = MemoryHeads(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        config = self.config
        if isinstance(module, MemoryReader):
            init.normal_(module.fc.weight, mean=0.0, std=config.initializer_range)
            identity = torch.eye(config.n_embd, dtype=module.fc.weight.dtype, device=module.fc.weight.device)
            init.copy_(module.fc.weight[:, : config.n_embd], identity)
            init.zeros_(module.fc.bias)
            init.constant_(module.log_scale, math.log(config.score_scale))
            init.constant_(module.null_score, config.null_similarity)
            if module.follow_score is not None:
                init.constant_(module.follow_score, config.follow_similarity)
            if module.null_read is not None:
                init.zeros_(module.null_read)
            if module.fc_null is not None:
                init.zeros_(module.fc_null.weight)
        elif isinstance(module, MemoryHeads):
            # unlikely to copy or to delete until it has learned to
            if module.fc_copy_decision is not None:
                init.constant_(module.fc_copy_decision.bias, -2.0)
            init.constant_(module.fc_delete_decision.bias, -2.0)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        memory: Memory | BatchMemory | None = None,
        statements: Tensor | None = None,
        return_deletes: bool = False,
        mix_copies: bool = True,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the model over (B, T) tokens, reading ``memory`` at every one.

        Args:
            memory: what to search; None for plain GPT-2.
            statements: (B, T) long, which statement of its row each token stands in, -1 for none: for what is stored.
            return_deletes: also search the memory for the deletable vectors and decide on what is found.
            mix_copies: False leaves ``logits`` as the language model's own (training mixes on the targets only).
            labels: (B, T), shifted inside, -100 ignored: the loss of the (mixed) next-token distribution.
            num_items_in_batch: what to divide the loss's sum by; the number of labels if None.

        Returns a VardaGPTOutput, or a tuple of what is not None in it where ``return_dict`` is False.
        """
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        if use_cache and past_key_values is None:
            past_key_values = MemoryCache(config=self.config)
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None:
            raise ValueError("either input_ids or inputs_embeds must be given")
        length = given.shape[1]
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            # padding on the left takes no position
            position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp_min(0)[:, -length:]
        state = None if past_key_values is None else memory_state_of(past_key_values)
        real = real_tokens(attention_mask, length)
        read_pass = _ReadPass(self.memory_reader, memory, statements, input_ids, state, real)
        outputs = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            read_pass=read_pass,
            **kwargs,
        )
        read_pass.finish()
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep])
        heads = self.memory_heads
        copy_decision = None if heads.fc_copy_decision is None else heads.fc_copy_decision(hidden).float()
        results, weights = read_pass.results, read_pass.weights
        tokens = None if results is None else results.token_ids
        if mix_copies and copy_decision is not None and weights is not None and tokens is not None:
            logits = mix_copy_distribution(logits, copy_decision[:, keep], weights[:, keep], tokens[:, keep])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits, labels, vocab_size=self.config.vocab_size, num_items_in_batch=num_items_in_batch
            )

        deletable = heads.deletable_vector(hidden)
        delete_results = delete_decision = None
        if return_deletes and read_pass.memory is not None:
            delete_results = read_pass.memory.search(deletable, self.config.num_search_results)
            delete_decision = heads.delete_logits(hidden, delete_results.vectors)
        output = VardaGPTOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            query=read_pass.query,
            storable_vector=read_pass.vectors,
            deletable_vector=deletable,
            store_decision=read_pass.store_logits,
            delete_decision=delete_decision,
            copy_decision=copy_decision,
            read_weights=weights,
            search_results=results,
            delete_results=delete_results,
            last_hidden_state=hidden,
            unread_state=read_pass.unread,
            memory=read_pass.memory,
        )
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()

    def delete_probability(self, delete_logits: Tensor, cosine: Tensor) -> Tensor:
        """Probability that one token deletes one vector: the decision says so *and* the vectors are close enough."""
        close = torch.sigmoid(self.config.delete_sharpness * (cosine - self.config.delete_similarity))
        return torch.sigmoid(delete_logits) * close


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


AutoConfig.register(VardaGPTConfig.model_type, VardaGPTConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaGPTConfig, VardaGPTAssociative, exist_ok=True)
