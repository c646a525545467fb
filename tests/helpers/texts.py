"""Texts to train on, made of few words, each unlike the others."""

from __future__ import annotations

import random

from training.data.sources.documents import Document, Source

WORDS = ("river", "garden", "letter", "winter", "island", "orchard", "train", "harbour", "forest", "mirror", "storm")


def prose(number: int) -> str:
    """A paragraph that no other number gives."""
    rng = random.Random(number)
    return f"Story {number} begins here. " + " ".join(rng.choice(WORDS) for _ in range(40)) + f". It ends at {number}."


def source(documents: list[Document], name: str = "mine") -> Source:
    return Source(name, "none", "nobody", (), lambda bad: iter(documents))


def texts(count: int, start: int = 0) -> list[Document]:
    return [Document(str(n), prose(n), key=str(n)) for n in range(start, start + count)]


def long_texts(count: int) -> list[Document]:
    """Documents in which names come back."""
    documents = []
    for number in range(count):
        rng = random.Random(number)
        names = [
            "".join(rng.choice(("ba", "do", "ki", "lu", "mer", "tan")) for _ in range(3)).title() for _ in range(4)
        ]
        lines = [f"Then {rng.choice(names)} met {rng.choice(names)} . {prose(rng.randrange(9999))}" for _ in range(12)]
        documents.append(Document(str(number), "\n".join(lines), key=str(number)))
    return documents
