"""The plain model that perplexity is compared against: a twin without memory, or the base model itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from varda_chat.errors import CheckpointError
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import fetched, load_checkpoint


@dataclass(frozen=True)
class Plain:
    """A model that reads no memory. tokenizer, end_id: where it has one of its own; None where it is the other's."""

    name: str
    model: Any
    tokenizer: Any | None = None
    end_id: int = -1

    @property
    def n_positions(self) -> int:
        return int(self.model.config.n_positions)

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.vocab_size)

    def tokens_of(self, ids: Any, chat: ChatFormat) -> Any:
        """Its tokens (m,) of the text whose tokens, of ``chat``'s tokenizer, are ``ids`` (n,)."""
        if self.tokenizer is None:
            return ids
        text = chat.tokenizer.decode(np.asarray(ids)[1:].tolist(), skip_special_tokens=False)
        return np.array([self.end_id, *self.tokenizer.encode(text, add_special_tokens=False).ids], np.int64)


def load_plain(source: str, chat: ChatFormat) -> Plain:
    """The model ``source``: a varda-chat checkpoint, whose memory is not read, or a plain GPT-2, a directory or hub id.
    Raises CheckpointError."""
    directory = fetched(source)
    name = Path(source).name
    try:
        kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"There is no model in {source} to compare with ({error}).") from error
    if kind != "gpt2":
        loaded = load_checkpoint(directory)
        same = loaded.chat.tokenizer.get_vocab() == chat.tokenizer.get_vocab()
        return Plain(name, loaded.model, None if same else loaded.chat.tokenizer, loaded.chat.end_id)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = GPT2LMHeadModel.from_pretrained(directory, local_files_only=True, dtype=torch.float32).eval()
    except Exception as error:  # tokenizers and safetensors raise classes of their own
        raise CheckpointError(f"The model in {directory} cannot be read: {str(error).splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"The model in {directory} has no end token to begin a text with.")
    return Plain(name, model, tokenizer.backend_tokenizer, tokenizer.eos_token_id)
