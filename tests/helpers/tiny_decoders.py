"""Tiny decoders with a memory layer, conversations for them, and an exact memory that can be followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from varda_chat.models import (
    SearchResults,
    VardaLlamaAssociative,
    VardaLlamaConfig,
    VardaQwen3Associative,
    VardaQwen3Config,
    VardaQwenAssociative,
    VardaQwenConfig,
)

PAD, START, END, SYSTEM, USER, ASSISTANT, NEWLINE = range(7)
FIRST_WORD, VOCABULARY = 10, 40
MEMORY: dict[str, Any] = {
    "memory_dim": 16, "token_dim": 4, "num_search_results": 3, "hidden_dim": 8, "start_token_id": START,
    "end_token_id": END, "user_token_id": USER, "assistant_token_id": ASSISTANT, "user_header": 3,
    "assistant_header": 3,
}  # fmt: skip
KINDS: dict[str, tuple[Any, Any, Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM, VardaLlamaConfig, VardaLlamaAssociative),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, VardaQwenConfig, VardaQwenAssociative),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, VardaQwen3Config, VardaQwen3Associative),
}
"""Of each architecture: its own configuration and class, and ours."""


def decoder_settings(layers: int = 4) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "tie_word_embeddings": True, "bos_token_id": START, "eos_token_id": END, "pad_token_id": PAD,
    }  # fmt: skip


def tiny_decoder(kind: str, layers: int = 4, **memory: Any) -> Any:
    """A seeded model in evaluation mode, none of whose memory parts is at a value that does nothing."""
    _, _, config_class, model_class = KINDS[kind]
    torch.manual_seed(0)
    return wake(model_class(config_class(**decoder_settings(layers), memory=MEMORY | memory)).eval())


def wake(model: Any) -> Any:
    """``model``, with every part of the memory away from values at which it does nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in (*model.memory_layer.named_parameters(), *model.memory_heads.named_parameters()):
            if parameter.ndim and not name.startswith("feature_"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for name, parameter in model.model.named_parameters():
            if "norm" not in name:  # initial weights are so small that no token tells much
                parameter.mul_(5.0)
    return model


def checkpoint_layers(model: Any) -> None:
    """Let the layers be computed again in the backward pass; newer versions of transformers call it differently."""
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


def words(count: int, seed: int) -> list[int]:
    """Random tokens of text; few different ones, so that texts hold what memories hold."""
    drawn = torch.randint(FIRST_WORD, FIRST_WORD + 12, (count,), generator=torch.Generator().manual_seed(seed))
    return [int(each) for each in drawn]


def message(role: int, text: Sequence[int], *, closed: bool = True) -> list[int]:
    """A message by the tiny ChatML: start, role, newline, text, end, newline."""
    return [START, role, NEWLINE, *text, *([END, NEWLINE] if closed else [])]


def conversation(seed: int = 0, first: int = 5) -> list[list[int]]:
    """A system message and two turns, the second reply unfinished, as messages."""
    return [
        message(SYSTEM, words(3, seed)),
        message(USER, words(first, seed + 1)),
        message(ASSISTANT, words(6, seed + 2)),
        message(USER, words(4, seed + 3)),
        message(ASSISTANT, words(8, seed + 4), closed=False),
    ]


def as_row(messages: Sequence[Sequence[int]]) -> list[int]:
    return [token for each in messages for token in each]


@dataclass
class ExactMemory:
    """Vectors (N, D) with tokens (N,), searched exactly by all rows alike; three in a row are a statement. ``searches``
    counts."""

    vectors: Tensor
    tokens: Tensor
    searches: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, size: int, dim: int = 16, seed: int = 1) -> Self:
        generator = torch.Generator().manual_seed(seed)
        vectors = torch.nn.functional.normalize(torch.randn(size, dim, generator=generator), dim=-1)
        return cls(vectors, torch.tensor(words(size, seed + 9), dtype=torch.long))

    def search(self, query: Tensor, k: int) -> SearchResults:
        self.searches.append(query.shape[1])
        count = min(k, len(self.vectors))
        similarity, ids = (query @ self.vectors.T).topk(count)
        pad, missing = torch.nn.functional.pad, k - count
        return SearchResults(
            ids=pad(ids, (0, missing), value=-1),
            distances=pad(2 - 2 * similarity.detach(), (0, missing), value=torch.inf),
            vectors=pad(self.vectors[ids], (0, 0, 0, missing)),
            token_ids=pad(self.tokens[ids], (0, missing), value=-1),
        )


class ChainedMemory(ExactMemory):
    """The same, which knows what was stored after what."""

    def successors(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        last = len(self.tokens) - 1
        after = (ids + 1).masked_fill((ids < 0) | (ids >= last) | (ids % 3 == 2), -1)
        return after, self.tokens[after.clamp_min(0)].masked_fill(after < 0, -1)

    def vectors_of(self, ids: Tensor) -> tuple[Tensor, None]:
        return self.vectors[ids.clamp_min(0)] * (ids >= 0).unsqueeze(-1), None


def check_tuples(model: Any, ids: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """That ``model`` gives a tuple, of the same loss and logits, where no dict is wanted."""
    with torch.no_grad():
        expected = model(ids, labels=ids)
        found = model(ids, labels=ids, return_dict=False)
        monkeypatch.setattr(model.config, "return_dict", False)
        configured = model(ids, labels=ids)
    for each in (found, configured):
        assert isinstance(each, tuple)
        assert torch.equal(each[0], expected.loss)
        assert torch.equal(each[1], expected.logits)
