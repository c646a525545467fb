"""A tiny base, sessions for it, and a trainer of an adapter on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.helpers.adapters import CHAT, CONFIG, LENGTH, REAL, a_builder, teacher
from tests.helpers.tiny_chatml import with_template
from training.adapter.assemble import add_lora, with_memory
from training.adapter.data import AdapterData
from training.adapter.labels import Session
from training.adapter.run import AdapterTrainer
from training.adapter.sessions import SessionBuilder


@pytest.fixture(scope="module")
def builder() -> SessionBuilder:
    return a_builder()


@pytest.fixture(scope="module")
def sessions(builder: SessionBuilder) -> list[Session]:
    return [builder.draw(random.Random(seed), 2, LENGTH) for seed in range(12)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, in Hugging Face layout."""
    directory = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=CHAT.tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=CHAT.end_id, pad_token_id=CHAT.end_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    with_template(CHAT.tokenizer).save_pretrained(directory)
    return directory


@pytest.fixture
def new_trainer(base: Path, builder: SessionBuilder, tmp_path: Path) -> Callable[[], AdapterTrainer]:
    def make() -> AdapterTrainer:
        torch.manual_seed(CONFIG.seed)
        chat, model = with_memory(base, {"memory_dim": 16, "token_dim": 4, "num_search_results": 3, "hidden_dim": 8})
        add_lora(model, 4, 4)
        data = AdapterData(builder, builder, REAL, [text for pair in REAL for text in pair])
        trainer = AdapterTrainer(
            model, chat, data, CONFIG, tmp_path, {"name": "tiny", "revision": "", "sha256": ""}, lambda _: None
        )
        trainer.standardise()
        trainer.read_lines(teacher)
        trainer.read_people()
        return trainer

    return make
