"""What training an adapter draws from: hand-written lines, facts, and lines of real dialogue."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from training.adapter.lines import load_lines
from training.adapter.sessions import SessionBuilder
from training.data.dialogue_rows import exchanges
from training.data.mixture import load_dialogues
from training.data.sources.corpora import Dialogue
from training.data.synthetic.relations import ALL_RELATIONS
from training.data.synthetic.written import load_facts
from varda_chat.models.chat_format import ChatFormat


@dataclass
class AdapterData:
    """What a run draws from. real: (user, assistant) lines of real dialogue."""

    builder: SessionBuilder
    validation: SessionBuilder
    real: list[tuple[str, str]]
    real_lines: list[str]


def load_data(chat: ChatFormat, data_dir: Path) -> AdapterData:
    """Sessions and real lines from the corpora in ``data_dir``. Raises DataError where these cannot be read."""
    training, validation = load_dialogues(data_dir)
    people = {"personachat", "spc", "msc", "memorybank_en"}

    def real(dialogues: list[Dialogue]) -> list[tuple[str, str]]:
        about = exchanges((d for d in dialogues if d.corpus in people), 260)
        other = exchanges((d for d in dialogues if d.corpus not in people and d.corpus != "ms_personality_chat"), 200)
        rng = random.Random(0)
        return about + rng.sample(other, min(len(other), len(about)))

    pairs = real(training)
    lines = [user for user, _ in pairs if len(user.split()) > 3] + [
        reply for _, reply in pairs if len(reply.split()) > 3
    ]
    return AdapterData(
        builder=SessionBuilder(chat, load_lines(validation=False), pairs, load_facts(validation=False)),
        validation=SessionBuilder(chat, load_lines(validation=True), real(validation), load_facts(validation=True),
                                  split="test", relations=ALL_RELATIONS),
        real=pairs, real_lines=lines,
    )  # fmt: skip
