"""Adapts a plain GPT-2: its weights and tokenizer, the chat's tokens added, the memory's parts put in. At step 0 it is
the base: the logits of its own tokens are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer, GPT2LMHeadModel

from varda_chat.errors import CheckpointError
from varda_chat.models import VardaGPTAssociative, VardaGPTConfig
from varda_chat.models.chat_format import SPECIAL_TOKENS, ChatFormat
from varda_chat.models.checkpoint import fetched


def adapt(source: str | Path, overrides: dict[str, Any]) -> tuple[ChatFormat, VardaGPTAssociative]:
    """A chat format and a model from the GPT-2 checkpoint ``source``: gpt2, gpt2-medium, gpt2-large, distilgpt2,
    microsoft/DialoGPT-small, any hub repository or directory in their layout.

    Args:
        overrides: of the configuration (``memory_layer``, ...), None where not given; ``memory_dim`` is else the base's
            width.

    The new tokens' embeddings are the mean of the others; dropout is that of the base. Raises CheckpointError.
    """
    directory = fetched(source)
    try:
        kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"The base model in {directory} has no readable config.json ({error}).") from error
    if kind != "gpt2":
        raise CheckpointError(f"The base model {source} is a {kind!r} model; --base-model needs a GPT-2.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True).backend_tokenizer
        base = GPT2LMHeadModel.from_pretrained(directory, local_files_only=True, dtype=torch.float32)
    except Exception as error:  # tokenizers and safetensors raise classes of their own
        raise CheckpointError(f"The base model in {directory} cannot be read: {str(error).splitlines()[0]}") from error
    if tokenizer.get_vocab_size() > base.config.vocab_size:
        raise CheckpointError(
            f"The base model in {directory} cannot be used: its tokenizer knows more tokens than the model."
        )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    chat = ChatFormat(tokenizer)
    with_chat = max(base.config.vocab_size, tokenizer.get_vocab_size())
    state = _with_rows(base.state_dict(), with_chat)
    values = base.config.to_dict() | {name: value for name, value in overrides.items() if value is not None}
    for name in ("model_type", "architectures", "transformers_version", "dtype", "task_specific_params"):
        values.pop(name, None)
    values |= {
        "vocab_size": with_chat, "memory_dim": overrides.get("memory_dim") or base.config.n_embd,
        "bos_token_id": chat.end_id, "eos_token_id": chat.end_id, "pad_token_id": chat.end_id,
    }  # fmt: skip
    model = VardaGPTAssociative(VardaGPTConfig(**values))
    lost = model.load_state_dict(state, strict=False).unexpected_keys
    if lost:
        raise CheckpointError(f"The base model in {directory} has weights that a GPT-2 has not ({lost[0]}).")
    model.tie_weights()
    return chat, model


def _with_rows(state: dict[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """``state`` with token embeddings for ``rows`` tokens, the new ones the mean of the old."""
    grown = dict(state)
    for name in ("transformer.wte.weight", "lm_head.weight"):
        old = state[name]
        grown[name] = torch.cat([old, old.mean(dim=0, keepdim=True).expand(rows - len(old), -1)])
    return grown
