"""How a reply begins: an abstention of not knowing needs to be sure enough, where there is something to know."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_gpt2 import tiny_model
from varda_chat.config.defaults import GenerationSettings
from varda_chat.memory import MemoryStore, NewStatement, NewVector, TurnChanges
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.generation import generate_reply

GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=3)


@pytest.mark.parametrize(("threshold", "stored", "admits"), [(0.0, True, True), (1.0, True, False), (1.0, False, True)])
def test_an_unsure_abstention_is_not_made(
    chat_format: ChatFormat, tmp_path: Path, threshold: float, stored: bool, admits: bool
) -> None:
    prompt = [*chat_format.encode("user", "What is my dog called?").ids, chat_format.assistant_id]
    model = tiny_model(chat_format, copy_results=False)
    first = generate_reply(model, chat_format, prompt, None, GREEDY)[0]
    # what this model would say first plays the abstention
    model.config.admission_token_id, model.config.admission_threshold = first, threshold
    with torch.no_grad():
        model.memory_reader.fc.weight[:, 32:] = 0.0  # the memory is read, and changes nothing
    with MemoryStore.open(tmp_path, embedding_dim=16, fingerprint="f") as store:
        if stored:
            vector = NewVector(torch.ones(16).numpy() / 4, 7, "x", 1.0)
            store.apply(TurnChanges(stores=(NewStatement("x", "user", (vector,)),)), session="s")
        reply = generate_reply(model, chat_format, prompt, store, GREEDY)
    assert (reply[0] == first) is admits
