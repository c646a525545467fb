"""The language model with an associative memory. The public names load on first use, so that what needs no torch, such
as finding a model's files, does not wait for it; loading them registers the model with transformers' Auto classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varda_chat.model.configuration import VardaGPTConfig
    from varda_chat.model.modeling import Memory, SearchResults, VardaGPTAssociative, VardaGPTOutput

__all__ = ["Memory", "SearchResults", "VardaGPTAssociative", "VardaGPTConfig", "VardaGPTOutput"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from varda_chat.model import modeling

    return getattr(modeling, name)
