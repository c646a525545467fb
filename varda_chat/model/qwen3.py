"""VardaQwen3Associative: a Qwen3-shaped decoder with an associative memory."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from varda_chat.model.building import without_layers
from varda_chat.model.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.model.memory_config import MemoryConfig, WithMemory


class VardaQwen3Config(WithMemory, Qwen3Config):
    """``Qwen3Config`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_qwen3"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.resolve_memory()
        super().__post_init__(**kwargs)


class VardaQwen3Layer(MemoryDecoderLayer, Qwen3DecoderLayer):
    """Qwen3's layer, which shows the residual stream to the memory."""

    def __init__(self, config: VardaQwen3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.layer_index = layer_idx


class VardaQwen3Model(Qwen3Model):
    """Qwen3Model of our layers; the names of its weights are Qwen3's."""

    config_class = VardaQwen3Config

    def __init__(self, config: VardaQwen3Config) -> None:
        with without_layers(config) as depth:
            super().__init__(config)
        self.layers = nn.ModuleList(VardaQwen3Layer(config, index) for index in range(depth))
        self.post_init()


class VardaQwen3Associative(WithAssociativeMemory, Qwen3ForCausalLM):
    """A Qwen3-shaped causal LM with an associative memory."""

    config_class = VardaQwen3Config

    def __init__(self, config: VardaQwen3Config) -> None:
        with without_layers(config):
            super().__init__(config)
        self.model = VardaQwen3Model(config)
        self.add_memory(config.hidden_size)
        self.post_init()


AutoConfig.register(VardaQwen3Config.model_type, VardaQwen3Config, exist_ok=True)
AutoModelForCausalLM.register(VardaQwen3Config, VardaQwen3Associative, exist_ok=True)
