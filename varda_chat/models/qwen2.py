"""VardaQwenAssociative: a Qwen2-shaped decoder (Qwen2, Qwen2.5) with an associative memory."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from varda_chat.models.building import BuiltOfLayers
from varda_chat.models.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.models.configuration import MemoryConfig, WithMemory


class VardaQwenConfig(WithMemory, Qwen2Config):
    """``Qwen2Config`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_qwen2"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None


class VardaQwenLayer(MemoryDecoderLayer, Qwen2DecoderLayer):
    """Qwen2's layer, with the memory applied to its input."""


class VardaQwenModel(BuiltOfLayers, Qwen2Model):
    """Qwen2Model of our layers; the names of its weights are Qwen2's."""

    config_class = VardaQwenConfig
    layer_class = VardaQwenLayer


class VardaQwenAssociative(WithAssociativeMemory, Qwen2ForCausalLM):
    """A Qwen2-shaped causal LM with an associative memory."""

    config_class = VardaQwenConfig
    model_class = VardaQwenModel


AutoConfig.register(VardaQwenConfig.model_type, VardaQwenConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaQwenConfig, VardaQwenAssociative, exist_ok=True)
