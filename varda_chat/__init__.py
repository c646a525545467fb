"""varda-chat: a terminal chat with a memory that lasts. The public names load on first use, so importing is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from varda_chat.memory import AssociativeMemory, BatchAssociativeMemory, MultiTokenBatchAssociativeMemory
    from varda_chat.models import VardaGPTAssociative, VardaGPTConfig
    from varda_chat.models.auto import register_models
    from varda_chat.session.session import ChatSession

__all__ = [
    "AssociativeMemory",
    "BatchAssociativeMemory",
    "ChatSession",
    "MultiTokenBatchAssociativeMemory",
    "VardaGPTAssociative",
    "VardaGPTConfig",
    "__version__",
    "register_models",
]

_HOMES = {
    "AssociativeMemory": "varda_chat.memory",
    "BatchAssociativeMemory": "varda_chat.memory",
    "MultiTokenBatchAssociativeMemory": "varda_chat.memory",
    "ChatSession": "varda_chat.session.session",
    "VardaGPTAssociative": "varda_chat.models",
    "VardaGPTConfig": "varda_chat.models",
    "register_models": "varda_chat.models.auto",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
