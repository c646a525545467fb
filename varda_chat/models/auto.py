"""Lets transformers' Auto classes know our models, for who asks for it."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "varda_chat.models.gpt2",
    "varda_chat.models.llama",
    "varda_chat.models.qwen2",
    "varda_chat.models.qwen3",
)
"""Importing them registers our models."""


def register_models() -> None:
    """Let ``AutoConfig`` and ``AutoModelForCausalLM`` load our checkpoints. May be called again; loads transformers."""
    for module in MODULES:
        import_module(module)
