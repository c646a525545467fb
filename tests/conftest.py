"""What every test stands on: a data directory of its own, and a tiny real model with its own tokenizer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.tiny_gpt2 import tiny_model

if TYPE_CHECKING:
    from varda_chat.models.chat_format import ChatFormat

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads cost more than they give

TEXTS = (
    "My dog is called Rimba.",
    "What is my dog called?",
    "Your dog is called Rimba.",
    "Hello! How are you today?",
    "I'm fine, thank you. I live in Lisbon and I work as a nurse.",
)


@pytest.fixture(autouse=True)
def own_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's memory."""
    home = tmp_path / "varda-home"
    monkeypatch.setenv("VARDA_CHAT_HOME", str(home))
    monkeypatch.setenv("VARDA_CHAT_MODEL", "mini")  # the default's base is converted once a home, in half a minute
    return home


@pytest.fixture
def small_profile(own_data_directory: Path) -> Path:
    """The default profile, with a memory of three statements."""
    from tests.helpers.hostile import three_statements

    return three_statements(own_data_directory / "profiles" / "default")


@pytest.fixture(scope="session")
def chat_format() -> ChatFormat:
    from training.data.preprocess.tokenizer import train_tokenizer
    from varda_chat.models.chat_format import ChatFormat

    return ChatFormat(train_tokenizer([" " + text for text in TEXTS] * 4, 300))


@pytest.fixture(scope="session")
def tiny_checkpoint(chat_format: ChatFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory with a tiny model that has learned nothing but stores about half of all tokens."""
    from training.data.preprocess.tokenizer import save_tokenizer
    from training.run import export

    directory = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model(chat_format)
    save_tokenizer(chat_format.tokenizer, directory, 128)
    export(model, directory)
    return directory
