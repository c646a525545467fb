"""Lets transformers' Auto classes know our models, for who asks for it."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "varda_chat.model.modeling",
    "varda_chat.model.llama",
    "varda_chat.model.qwen2",
    "varda_chat.model.qwen3",
)
"""Importing them registers our models."""


def register_models() -> None:
    """Let ``AutoConfig`` and ``AutoModelForCausalLM`` load our checkpoints. May be called again; loads transformers."""
    for module in MODULES:
        import_module(module)
