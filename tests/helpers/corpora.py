"""A fixture: a directory with every corpus by name, a few dialogues each."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

import pytest

from training.data.sources.corpora import CORPORA


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every corpus by name, a few dialogues each."""
    directory = tmp_path_factory.mktemp("corpora")
    lines = ["Hello, how are you?", "I am fine, thanks.", "Do you like music?", "Yes, I like it a lot.", "Me too."]
    for corpus in CORPORA:
        for name in corpus.files:
            with lzma.open(directory / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
                for number in range(60):
                    rng = random.Random(number)
                    turns = [{"speaker": ("user", "assistant")[i % 2], "text": rng.choice(lines)} for i in range(6)]
                    file.write(json.dumps({"source": corpus.name, "id": f"s_{number}", "turns": turns}) + "\n")
    return directory
