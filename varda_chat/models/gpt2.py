"""VardaGPTAssociative: a GPT-2 that reads an associative memory and decides what to store in it and delete from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, Cache, GPT2LMHeadModel, GPT2Model
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.utils import ModelOutput

from varda_chat.models.building import RareDecision, without_layers
from varda_chat.models.copy_chain import mix_copy_distribution
from varda_chat.models.gpt2_configuration import VardaGPTConfig
from varda_chat.models.gpt2_memory import GPT2MemoryHeads, GPT2MemoryLayer, GPT2MemoryPass
from varda_chat.models.memory_cache import GeneratesWithMemoryCache, MemoryCache, memory_state_of, real_tokens
from varda_chat.models.one_token_gpt2 import one_token, takes_short_way
from varda_chat.models.results import BatchMemory, Memory, SearchResults


@dataclass
class VardaGPTOutput(ModelOutput):
    """Result of :meth:`VardaGPTAssociative.forward`. Shapes with B batch, T seq, V vocab, D memory_dim, k results.

    logits: (B, T, V); with results, log-probabilities of the mixture up to a constant a row.
    query, storable_vector, deletable_vector: (B, T, D), unit length.
    store_decision: (B, T, 1) logit. delete_decision: (B, T, k) logit for each of ``delete_results``.
    copy_decision: (B, T, 1) logit, None where ``copy_results`` is off.
    search_results: what was read. read_weights: (B, T, k), the rest to 1 is the no-match slot's.
    delete_results: the results of searching for ``deletable_vector`` (None unless ``return_deletes``).
    last_hidden_state: (B, T, n_embd), what the heads saw. unread_state: (B, T, n_embd), those before the read.
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


class VardaGPTBlock(GPT2Block):
    """GPT-2's block, which applies the memory to the states that reach it (the last one also to those it returns).

    By ``__call__``, outside of gradient checkpointing: a recomputed block does not read the memory a second time.
    """

    def __init__(self, config: VardaGPTConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx=layer_idx)
        self.layer = layer_idx

    def __call__(
        self, hidden_states: Tensor, *args: Any, memory_pass: GPT2MemoryPass | None = None, **kwargs: Any
    ) -> Any:
        if memory_pass is None:
            return super().__call__(hidden_states, *args, **kwargs)
        hidden_states = super().__call__(memory_pass.apply_memory(self.layer, hidden_states), *args, **kwargs)
        is_last = self.layer == memory_pass.layer.config.n_layer - 1
        return memory_pass.apply_memory(self.layer + 1, hidden_states) if is_last else hidden_states


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
        memory_pass: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As GPT2Model's. One token that continues a chat's cache takes the short way through the same blocks."""
        if takes_short_way(self, input_ids, past_key_values, attention_mask, kwargs):
            return one_token(self, input_ids, position_ids, past_key_values, memory_pass)  # type: ignore[arg-type]
        return super().forward(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            memory_pass=memory_pass,
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
        self.memory_reader = GPT2MemoryLayer(config)
        self.memory_heads = GPT2MemoryHeads(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (GPT2MemoryLayer, RareDecision)):
            module.init_weights()

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
        memory_pass = GPT2MemoryPass(self.memory_reader, memory, statements, input_ids, state, real)
        outputs = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            memory_pass=memory_pass,
            **kwargs,
        )
        memory_pass.finish()
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep])
        heads = self.memory_heads
        copy_decision = None if heads.fc_copy_decision is None else heads.fc_copy_decision(hidden).float()
        results, weights = memory_pass.results, memory_pass.weights
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
        if return_deletes and memory_pass.memory is not None:
            delete_results = memory_pass.memory.search(deletable, self.config.num_search_results)
            delete_decision = heads.delete_logits(hidden, delete_results.vectors)
        output = VardaGPTOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            query=memory_pass.query,
            storable_vector=memory_pass.vectors,
            deletable_vector=deletable,
            store_decision=memory_pass.store_logits,
            delete_decision=delete_decision,
            copy_decision=copy_decision,
            read_weights=weights,
            search_results=results,
            delete_results=delete_results,
            last_hidden_state=hidden,
            unread_state=memory_pass.unread,
            memory=memory_pass.memory,
        )
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()

    def delete_probability(self, delete_logits: Tensor, cosine: Tensor) -> Tensor:
        """Probability that one token deletes one vector: the decision says so *and* the vectors are close enough."""
        close = torch.sigmoid(self.config.delete_sharpness * (cosine - self.config.delete_similarity))
        return torch.sigmoid(delete_logits) * close


AutoConfig.register(VardaGPTConfig.model_type, VardaGPTConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaGPTConfig, VardaGPTAssociative, exist_ok=True)
