"""A tiny GPT-2 with a memory layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varda_chat.models.chat_format import ChatFormat
    from varda_chat.models.gpt2 import VardaGPTAssociative


def tiny_model(chat: ChatFormat, **overrides: object) -> VardaGPTAssociative:
    """A fresh model of 2 blocks and width 32 for ``chat``'s tokenizer, seeded, in evaluation mode."""
    import torch

    from varda_chat.models import VardaGPTAssociative, VardaGPTConfig

    torch.manual_seed(0)
    settings: dict[str, object] = {
        "vocab_size": chat.tokenizer.get_vocab_size(), "n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 2,
        "memory_dim": 16, "num_search_results": 3, "bos_token_id": chat.end_id, "eos_token_id": chat.end_id,
        "pad_token_id": chat.end_id, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    }  # fmt: skip
    model: VardaGPTAssociative = VardaGPTAssociative(VardaGPTConfig(**(settings | overrides))).eval()
    return model
