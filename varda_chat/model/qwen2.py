"""VardaQwenAssociative: a Qwen2-shaped decoder (Qwen2, Qwen2.5) with an associative memory."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from varda_chat.model.building import without_layers
from varda_chat.model.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.model.memory_config import MemoryConfig, WithMemory


class VardaQwenConfig(WithMemory, Qwen2Config):
    """``Qwen2Config`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_qwen2"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.resolve_memory()
        super().__post_init__(**kwargs)


class VardaQwenLayer(MemoryDecoderLayer, Qwen2DecoderLayer):
    """Qwen2's layer, which shows the residual stream to the memory."""

    def __init__(self, config: VardaQwenConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.layer_index = layer_idx


class VardaQwenModel(Qwen2Model):
    """Qwen2Model of our layers; the names of its weights are Qwen2's."""

    config_class = VardaQwenConfig

    def __init__(self, config: VardaQwenConfig) -> None:
        with without_layers(config) as depth:
            super().__init__(config)
        self.layers = nn.ModuleList(VardaQwenLayer(config, index) for index in range(depth))
        self.post_init()


class VardaQwenAssociative(WithAssociativeMemory, Qwen2ForCausalLM):
    """A Qwen2-shaped causal LM with an associative memory."""

    config_class = VardaQwenConfig

    def __init__(self, config: VardaQwenConfig) -> None:
        with without_layers(config):
            super().__init__(config)
        self.model = VardaQwenModel(config)
        self.add_memory(config.hidden_size)
        self.post_init()


AutoConfig.register(VardaQwenConfig.model_type, VardaQwenConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaQwenConfig, VardaQwenAssociative, exist_ok=True)
