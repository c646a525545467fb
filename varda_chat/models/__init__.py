"""Language models with an associative memory. The public names load on first use, so that what needs no torch, such
as finding a model's files, does not wait for it; loading them registers the models with transformers' Auto classes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varda_chat.models.configuration import MemoryConfig
    from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput
    from varda_chat.models.gpt2_configuration import VardaGPTConfig
    from varda_chat.models.llama import VardaLlamaAssociative, VardaLlamaConfig
    from varda_chat.models.qwen2 import VardaQwenAssociative, VardaQwenConfig
    from varda_chat.models.qwen3 import VardaQwen3Associative, VardaQwen3Config
    from varda_chat.models.results import Memory, SearchResults

__all__ = [
    "Memory",
    "MemoryConfig",
    "SearchResults",
    "VardaGPTAssociative",
    "VardaGPTConfig",
    "VardaGPTOutput",
    "VardaLlamaAssociative",
    "VardaLlamaConfig",
    "VardaQwen3Associative",
    "VardaQwen3Config",
    "VardaQwenAssociative",
    "VardaQwenConfig",
]

_HOMES = {
    "Memory": "results",
    "MemoryConfig": "configuration",
    "SearchResults": "results",
    "VardaLlamaAssociative": "llama",
    "VardaLlamaConfig": "llama",
    "VardaQwenAssociative": "qwen2",
    "VardaQwenConfig": "qwen2",
    "VardaQwen3Associative": "qwen3",
    "VardaQwen3Config": "qwen3",
}
"""Modules of the names that are not in ``gpt2``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOMES.get(name, 'gpt2')}")
    return getattr(module, name)
