"""VardaLlamaAssociative: a Llama-shaped decoder (SmolLM2, TinyLlama, Llama) with an associative memory."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from varda_chat.model.building import without_layers
from varda_chat.model.causal_lm import MemoryDecoderLayer, WithAssociativeMemory
from varda_chat.model.memory_config import MemoryConfig, WithMemory


class VardaLlamaConfig(WithMemory, LlamaConfig):
    """``LlamaConfig`` with the nested ``memory`` settings (MemoryConfig)."""

    model_type = "varda_llama"
    sub_configs = {"memory": MemoryConfig}  # noqa: RUF012 (transformers' own name and kind)

    memory: dict[str, Any] | MemoryConfig | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.resolve_memory()
        super().__post_init__(**kwargs)


class VardaLlamaLayer(MemoryDecoderLayer, LlamaDecoderLayer):
    """Llama's layer, which shows the residual stream to the memory."""

    def __init__(self, config: VardaLlamaConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.layer_index = layer_idx


class VardaLlamaModel(LlamaModel):
    """LlamaModel of our layers; the names of its weights are Llama's."""

    config_class = VardaLlamaConfig

    def __init__(self, config: VardaLlamaConfig) -> None:
        with without_layers(config) as depth:
            super().__init__(config)
        self.layers = nn.ModuleList(VardaLlamaLayer(config, index) for index in range(depth))
        self.post_init()


class VardaLlamaAssociative(WithAssociativeMemory, LlamaForCausalLM):
    """A Llama-shaped causal LM with an associative memory."""

    config_class = VardaLlamaConfig

    def __init__(self, config: VardaLlamaConfig) -> None:
        with without_layers(config):
            super().__init__(config)
        self.model = VardaLlamaModel(config)
        self.add_memory(config.hidden_size)
        self.post_init()


AutoConfig.register(VardaLlamaConfig.model_type, VardaLlamaConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaLlamaConfig, VardaLlamaAssociative, exist_ok=True)
