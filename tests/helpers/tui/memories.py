"""A memory that has been lived in, for tests and pictures of the browser and the map."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import numpy as np

from tests.helpers.tui.scripted import NOW
from varda_chat.memory import MemoryStore
from varda_chat.memory.records import Imported, NewStatement, NewVector

DAY = 86_400.0
DIM = 16
TOPICS = {
    "animals": ("My dog is called Rimba.", "Rimba loves the lake.", "My cat is called Tom.", "Tom sleeps all day."),
    "places": ("I live in Lisbon.", "My sister lives in Porto.", "I was born in Graz.", "We moved to Lisbon in May."),
    "work": (
        "I work at the observatory.",
        "My boss is called Ines.",
        "I used to be a nurse.",
        "I measure faint stars.",
    ),
    "music": (
        "I have started to learn the cello, on Sundays.",
        "My favourite composer is Fauré.",
        "I sing in a choir.",
    ),
    "food": ("I cannot eat nuts.", "I bake bread on Saturdays.", "My favourite soup is caldo verde."),
    "Varda": ("Rimba is a lovely name for a dog.", "You asked me to keep the date of the concert."),
}


def told(text: str, place: int, *, topic: str = "", count: int = 2) -> Imported:
    """A statement with vectors near those of its topic."""
    centre = np.random.default_rng(zlib.crc32(topic.encode())).standard_normal(DIM)
    noise = np.random.default_rng(zlib.crc32(text.encode())).standard_normal((count, DIM))
    vectors = (centre + 0.35 * noise).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    new = NewStatement(
        text,
        "assistant" if topic == "Varda" else "user",
        tuple(NewVector(vector, 5, word, 0.9) for vector, word in zip(vectors, cycle(text.split()[-2:]))),
    )
    recalls = (0, 1, 4, 0, 12)[place % 5]
    return Imported(new, "3", NOW - (place**2) * 0.14 * DAY - 120, NOW - DAY, recalls, place % 6 == 1, "")


def lived_in(directory: Path, fingerprint: str, statements: Iterable[Imported] | None = None) -> None:
    """Make the memory in ``directory``, as a model with that ``fingerprint`` has it, of topics or of ``statements``."""
    if statements is None:
        said = [(text, topic) for topic, texts in TOPICS.items() for text in texts]
        statements = [told(text, len(said) - place, topic=topic) for place, (text, topic) in enumerate(said)]
    with MemoryStore.open(directory, embedding_dim=DIM, fingerprint=fingerprint, memory_size=100_000) as store:
        store.importing.add(
            Imported(
                each.new, each.session, each.created_at, each.recalled_at, each.recall_count, each.pinned, fingerprint
            )
            for each in statements
        )
