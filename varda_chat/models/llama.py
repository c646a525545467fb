"""VardaLlamaAssociative: a Llama-shaped decoder (SmolLM2, TinyLlama, Llama) with an associative memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from varda_chat.models.building import BuiltOfLayers
from varda_chat.models.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.models.configuration import MemoryConfig, WithMemory
from varda_chat.models.memory_cache import MemoryCache
from varda_chat.models.one_token import OneToken


class VardaLlamaConfig(WithMemory, LlamaConfig):
    """``LlamaConfig`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_llama"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None


class VardaLlamaLayer(MemoryDecoderLayer, LlamaDecoderLayer):
    """Llama's layer, with the memory applied to its input."""


class VardaLlamaModel(BuiltOfLayers, LlamaModel):
    """LlamaModel of our layers; the names of its weights are Llama's."""

    config_class = VardaLlamaConfig
    layer_class = VardaLlamaLayer
    _one_token: OneToken | None = None

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        memory_pass: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As LlamaModel's. One token that continues a chat's cache takes the short way through the same layers."""
        one = None
        if type(past_key_values) is MemoryCache and input_ids is not None and input_ids.shape == (1, 1):
            one = self._short_way(past_key_values, attention_mask, kwargs)
        if one is None:
            return super().forward(
                input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                memory_pass=memory_pass,
                **kwargs,
            )
        assert input_ids is not None
        if position_ids is None:
            position_ids = torch.tensor([[past_key_values.get_seq_length()]], device=input_ids.device)
        hidden = one(input_ids, position_ids, past_key_values, memory_pass)
        return BaseModelOutputWithPast(last_hidden_state=hidden, past_key_values=past_key_values)

    def _short_way(self, cache: MemoryCache, mask: Tensor | None, others: dict[str, Any]) -> OneToken | None:
        """The short way, where it gives what the long one gives."""
        if (
            torch.is_grad_enabled()
            or self.training
            or not cache.get_seq_length()
            or not (mask is None or (mask.ndim == 2 and bool(mask.all())))
            or any(value for name, value in others.items() if name not in ("use_cache", "return_dict"))
            or self.config.output_hidden_states
            or self.config.output_attentions
        ):
            return None
        if self._one_token is None or not self._one_token.fits(self):
            self._one_token = OneToken(self) if OneToken.can_take(self) else None
        return self._one_token


class VardaLlamaAssociative(WithAssociativeMemory, LlamaForCausalLM):
    """A Llama-shaped causal LM with an associative memory."""

    config_class = VardaLlamaConfig
    model_class = VardaLlamaModel


AutoConfig.register(VardaLlamaConfig.model_type, VardaLlamaConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaLlamaConfig, VardaLlamaAssociative, exist_ok=True)
