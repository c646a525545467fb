"""WithAssociativeMemory: the causal-LM mixin that gives any decoder of transformers a MemoryLayer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.utils import ModelOutput

from varda_chat.models.addressing import ASSISTANT, Address, Roles
from varda_chat.models.building import RareDecision, without_layers
from varda_chat.models.copy_chain import mix_copy_distribution
from varda_chat.models.low_rank import LowRank
from varda_chat.models.memory_cache import GeneratesWithMemoryCache, MemoryCache, memory_state_of, real_tokens
from varda_chat.models.memory_layer import MemoryLayer
from varda_chat.models.memory_pass import Pass, StopBelow
from varda_chat.models.reranker import Reranker
from varda_chat.models.response_selection import ResponseSelector
from varda_chat.models.results import BatchMemory, Memory, SearchResults


class MemoryHeads(nn.Module):
    """What the top of the decoder says about the memory: how much of the next token is copied from the results."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_copy_decision = RareDecision(width, 1)

    def copy_decision(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, 1), float32, of top states (B, T, width)."""
        with torch.autocast(hidden.device.type, enabled=False):
            logits: Tensor = self.fc_copy_decision(hidden.float())
        return logits


@dataclass
class AssociativeOutput(ModelOutput):
    """Result of a forward pass. Shapes with B batch, T seq, V vocab, D memory_dim, k results.

    logits: (B, T, V); with results, log-probabilities of the mixture up to a constant a row; None if not asked for.
    query, storable_vector: (B, T, D), unit length. store_decision, no_match, copy_decision: (B, T, 1) logits or scores.
    search_results: what was read. read_weights: (B, T, k), the rest to 1 is the no-match slot's.
    last_hidden_state: (B, T, width), what the heads saw. address, roles: of every token, for decisions about turns.
    features: (B, T, F), what queries and vectors are made of. memory: what was searched.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    query: Tensor | None = None
    storable_vector: Tensor | None = None
    store_decision: Tensor | None = None
    no_match: Tensor | None = None
    copy_decision: Tensor | None = None
    read_weights: Tensor | None = None
    search_results: SearchResults | None = None
    last_hidden_state: Tensor | None = None
    features: Tensor | None = None
    address: Address | None = None
    roles: Roles | None = None
    memory: Any = None


class MemoryDecoderLayer:
    """Mixed in before an architecture's decoder layer: applies the memory to the hidden states that reach it.

    By ``__call__``, outside of gradient checkpointing: a recomputed layer does not read the memory a second time.
    """

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)  # type: ignore[call-arg]
        self.layer_index = layer_idx

    def __call__(self, hidden_states: Tensor, *args: Any, memory_pass: Pass | None = None, **kwargs: Any) -> Any:
        if memory_pass is not None:
            hidden_states = memory_pass.apply_memory(self.layer_index, hidden_states)
        return super().__call__(hidden_states, *args, **kwargs)  # type: ignore[misc]


class WithAssociativeMemory(GeneratesWithMemoryCache):
    """Mixed in before an architecture's ``...ForCausalLM``; ``model_class``, its decoder, is built of
    MemoryDecoderLayers.

    ``forward`` reads ``memory`` and never changes it: the caller applies stores and deletes once a turn. Without a
    memory, or with an empty one, and without a status, the logits are the plain decoder's.
    """

    config: Any
    model: Any
    lm_head: Any
    loss_function: Any
    model_class: type[nn.Module]

    def __init__(self, config: Any) -> None:
        with without_layers(config):
            super().__init__(config)  # type: ignore[call-arg]
        self.model = self.model_class(config)
        self.memory_layer = MemoryLayer(config.memory, config.hidden_size)
        self.memory_heads = MemoryHeads(config.hidden_size)
        self.reranker = Reranker(self) if config.memory.rerank_rank else None
        self.response_selector = ResponseSelector(self) if config.memory.response_rank else None
        self._keep_in_fp32_modules_strict = {"memory_layer", "memory_heads", "reranker", "response_selector"}
        self.post_init()  # type: ignore[attr-defined]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        if isinstance(module, (MemoryLayer, LowRank, RareDecision, ResponseSelector)):
            module.init_weights()

    def _pass(
        self,
        ids: Tensor | None,
        mask: Tensor | None,
        statements: Tensor | None,
        memory: Any = None,
        status: Any = None,
        cache: Any = None,
    ) -> Pass:
        if ids is None:
            raise ValueError("the memory layer needs input_ids: it reads the turns off them")
        state = None if cache is None else memory_state_of(cache)
        real = real_tokens(mask, ids.shape[1])
        return Pass(self.memory_layer, self.model.embed_tokens, memory, ids, statements, status, state, real)

    def lower_pass(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, statements: Tensor | None = None
    ) -> Pass:
        """Run only the layers below the memory, on whole sequences (B, T), for their features, queries and vectors."""
        done = self._pass(input_ids, attention_mask, statements)
        done.stop_below = True
        with suppress(StopBelow):
            self.model(input_ids, attention_mask=attention_mask, use_cache=False, memory_pass=done)
        return done

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
        status: Tensor | None = None,
        mix_copies: bool = True,
        with_logits: bool = True,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the model over (B, T) tokens, reading ``memory`` at every token of a reply.

        Args:
            memory: what to search; None for the plain decoder.
            statements: (B, T) long, which statement of its row each token belongs to, -1 for none: for what is stored.
            status: what was decided for the turn (index into STATUSES): (B,) for all tokens, or (B, T), -1 for none.
            mix_copies: False leaves ``logits`` as the language model's own.
            with_logits: False leaves them out (training computes them where its loss looks).
            labels: (B, T), shifted inside, -100 ignored: the loss of the (mixed) next-token distribution.
        """
        if use_cache is None:
            use_cache = bool(getattr(self.config, "use_cache", False)) and not self.training  # type: ignore[attr-defined]
        if use_cache and past_key_values is None:
            past_key_values = MemoryCache(config=self.config)
        done = self._pass(input_ids, attention_mask, statements, memory, status, past_key_values)
        outputs = self.model(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            return_dict=True,
            memory_pass=done,
            **{name: value for name, value in kwargs.items() if name != "num_items_in_batch"},
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        copy_decision = self.memory_heads.copy_decision(hidden)
        results, weights = done.results, done.weights
        logits = self.lm_head(hidden[:, keep]) if with_logits else None
        tokens = None if results is None else results.token_ids
        if logits is not None and mix_copies and weights is not None and tokens is not None:
            assert done.roles is not None
            read = weights * (done.roles.role == ASSISTANT).unsqueeze(-1)  # only replies copy
            logits = mix_copy_distribution(logits, copy_decision[:, keep], read[:, keep], tokens[:, keep])
        loss = None
        if labels is not None:
            extra = {name: kwargs[name] for name in ("num_items_in_batch",) if name in kwargs}
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **extra)
        output = AssociativeOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            query=done.query,
            storable_vector=done.vectors,
            store_decision=done.store_logits,
            no_match=done.no_match,
            copy_decision=copy_decision,
            read_weights=weights,
            search_results=results,
            last_hidden_state=hidden,
            features=done.features,
            address=done.address,
            roles=done.roles,
            memory=done.memory,
        )
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()
