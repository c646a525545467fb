"""VardaLlamaAssociative: a Llama-shaped decoder (SmolLM2, TinyLlama, Llama) with an associative memory."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from varda_chat.models.building import BuiltOfLayers
from varda_chat.models.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.models.configuration import MemoryConfig, WithMemory


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


class VardaLlamaAssociative(WithAssociativeMemory, LlamaForCausalLM):
    """A Llama-shaped causal LM with an associative memory."""

    config_class = VardaLlamaConfig
    model_class = VardaLlamaModel


AutoConfig.register(VardaLlamaConfig.model_type, VardaLlamaConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaLlamaConfig, VardaLlamaAssociative, exist_ok=True)
