"""VardaQwen3Associative: a Qwen3-shaped decoder with an associative memory."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from varda_chat.models.building import BuiltOfLayers
from varda_chat.models.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.models.configuration import MemoryConfig, WithMemory


class VardaQwen3Config(WithMemory, Qwen3Config):
    """``Qwen3Config`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_qwen3"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None


class VardaQwen3Layer(MemoryDecoderLayer, Qwen3DecoderLayer):
    """Qwen3's layer, with the memory applied to its input."""


class VardaQwen3Model(BuiltOfLayers, Qwen3Model):
    """Qwen3Model of our layers; the names of its weights are Qwen3's."""

    config_class = VardaQwen3Config
    layer_class = VardaQwen3Layer


class VardaQwen3Associative(WithAssociativeMemory, Qwen3ForCausalLM):
    """A Qwen3-shaped causal LM with an associative memory."""

    config_class = VardaQwen3Config
    model_class = VardaQwen3Model


AutoConfig.register(VardaQwen3Config.model_type, VardaQwen3Config, exist_ok=True)
AutoModelForCausalLM.register(VardaQwen3Config, VardaQwen3Associative, exist_ok=True)
