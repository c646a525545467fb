"""The language model with an associative memory; importing this registers it with transformers' Auto classes."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForCausalLM

from varda_chat.model.configuration import VardaGPTConfig
from varda_chat.model.modeling import (
    Memory,
    SearchResults,
    VardaGPTAssociative,
    VardaGPTOutput,
)

AutoConfig.register(VardaGPTConfig.model_type, VardaGPTConfig, exist_ok=True)
AutoModelForCausalLM.register(VardaGPTConfig, VardaGPTAssociative, exist_ok=True)

__all__ = ["Memory", "SearchResults", "VardaGPTAssociative", "VardaGPTConfig", "VardaGPTOutput"]
