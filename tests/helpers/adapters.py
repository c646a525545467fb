"""Settings, sessions and a teacher for an adapter on a tiny base."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.helpers.tiny_chatml import chatml_tokenizer
from training.adapter.config import AdapterConfig
from training.adapter.lines import Exchange, load_lines
from training.adapter.run import AdapterTrainer
from training.adapter.sessions import SessionBuilder
from training.data.synthetic.relations import ALL_RELATIONS
from varda_chat.models.chat_format import ChatMLFormat

CHAT = ChatMLFormat(chatml_tokenizer())
REAL = [("Do you like rain?", "I do, when I'm inside."), ("What's new today?", "Not much, and with you?")]
LENGTH = 320
CONFIG = AdapterConfig(
    people=1, read_people=3, memory_people=1, sessions=2, length=LENGTH, lines=12, real_lines=2, line_steps=2,
    line_batch=12, memory_steps=1, decision_steps=2, reading_steps=2, speech_steps=2, warmup_steps=1, distractors=1,
    ring=64, seed=2,
)  # fmt: skip


def a_builder() -> SessionBuilder:
    greeting, idiom = (
        Exchange("social/greeting", "Hello!", "Hi!"),
        Exchange("spared/idiom", "Forget it.", "All right."),
    )
    dialogue = (
        ("user", "I slept badly."),
        ("assistant", "Oh no."),
        ("user", "Never mind."),
        ("assistant", "Rest well."),
    )
    lines = replace(load_lines(validation=False), exchanges=(greeting, idiom), dialogues=(dialogue,))
    return SessionBuilder(CHAT, lines, REAL, [], relations=ALL_RELATIONS[:12])


def teacher(texts: list[str]) -> Tensor:
    """Similarities of some kind: words in common."""
    vectors = torch.zeros(len(texts), 64)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, sum(map(ord, word)) % 64] += 1.0
    return torch.nn.functional.normalize(vectors + 1e-3, dim=-1)


def total(trainer: AdapterTrainer, batch: Any, *, reading: bool) -> float:
    with torch.no_grad():
        terms, _ = trainer.losses(batch, 0, reading=reading)
        terms |= {} if reading else trainer.line_losses(0)
        return float(sum(trainer.config.weights[name] * float(term) for name, term in terms.items()))


def parameters(trainer: AdapterTrainer) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def changed(trainer: AdapterTrainer, before: dict[str, Tensor]) -> set[str]:
    return {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
