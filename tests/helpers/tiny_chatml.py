"""A tiny ChatML tokenizer, and a tiny Llama with a memory layer for it."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.helpers.tiny_decoders import wake
from varda_chat.models import VardaLlamaAssociative, VardaLlamaConfig
from varda_chat.models.chat_format import ChatMLFormat

TEXTS = (
    "system", "user", "assistant", "You are Varda, a friendly companion with a memory.", "My dog is called Rimba.",
    "What is my dog called?", "Your dog is called Rimba.", "I live in Lisbon and I work as a nurse.", "Hello there!",
)  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""As SmolLM2's and Qwen's."""


def chatml_tokenizer() -> Tokenizer:
    """A byte-level BPE with ChatML's special tokens, in which the names of roles are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, *(" " + text for text in TEXTS)] * 4, trainer)
    return tokenizer


def with_template(tokenizer: Tokenizer) -> Any:
    """The same for transformers, with the template."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106 - a token of text, not a secret
        pad_token="<|im_end|>",  # noqa: S106
    )
    fast.chat_template = TEMPLATE
    return fast


def memory_settings(chat: ChatMLFormat) -> dict[str, int]:
    return {
        "start_token_id": chat.headers["user"][0], "user_token_id": chat.user_id,
        "assistant_token_id": chat.assistant_id, "end_token_id": chat.end_id,
        "user_header": len(chat.headers["user"]), "assistant_header": len(chat.headers["assistant"]),
        "memory_dim": 16, "token_dim": 4, "num_search_results": 3, "hidden_dim": 8,
    }  # fmt: skip


def chatml_configuration(chat: ChatMLFormat, **more: Any) -> VardaLlamaConfig:
    """Of a Llama of four layers; ``more``: of its memory."""
    return VardaLlamaConfig(
        vocab_size=chat.tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=chat.end_id, pad_token_id=chat.end_id, memory=memory_settings(chat) | more,
    )  # fmt: skip


def chatml_model(chat: ChatMLFormat) -> Any:
    """A seeded Llama of four layers, in evaluation mode, none of whose memory parts does nothing."""
    torch.manual_seed(0)
    return wake(VardaLlamaAssociative(chatml_configuration(chat)).eval())


NEVER, ALWAYS = 1.1, -1.0
"""Thresholds that no probability, and that every one exceeds."""


def obliging_model(chat: ChatMLFormat) -> Any:
    """A model that stores all it is told, or takes every line for a question that all it finds answers."""
    model = chatml_model(chat)
    memory = model.config.memory
    memory.store_threshold = 0.0
    memory.change_threshold = memory.other_threshold = NEVER
    return model


def ask_from_here_on(model: Any, threshold: float = ALWAYS) -> None:
    """Let ``model`` take every line for a question that tells nothing; with ``NEVER``, none."""
    memory = model.config.memory
    memory.ask_threshold = memory.recall_threshold = threshold
    memory.store_threshold = 0.0 if threshold == NEVER else NEVER
