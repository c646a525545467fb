"""What tests of training read: a small directory of corpora, and pairs drawn for the reranker."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.judged import DrawnPairs
from training.adapter.lines import load_facts, load_lines
from training.data.sources.corpora import CORPORA


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every corpus by name, a few dialogues each."""
    folder = tmp_path_factory.mktemp("corpora")
    lines = ["Hello, how are you?", "I am fine, thanks.", "Do you like music?", "Yes, I like it a lot.", "Me too."]
    for corpus in CORPORA:
        for name in corpus.files:
            with lzma.open(folder / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
                for number in range(60):
                    rng = random.Random(number)
                    turns = [{"speaker": ("user", "assistant")[i % 2], "text": rng.choice(lines)} for i in range(6)]
                    file.write(json.dumps({"source": corpus.name, "id": f"s_{number}", "turns": turns}) + "\n")
    return folder


def by_letters(texts: list[str]) -> Tensor:
    """Letter frequencies of each text, as unit vectors (n, 26)."""
    counts = torch.tensor([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]).float()
    return F.normalize(counts + 1e-3, dim=-1)


@pytest.fixture(scope="module")
def drawn() -> DrawnPairs:
    """Pairs of the held-out facts and lines."""
    facts, lines = load_facts(validation=True), load_lines(validation=True)
    return DrawnPairs(facts, lines, by_letters, random.Random(0))
