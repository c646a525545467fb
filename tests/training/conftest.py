"""What tests of training read: a small directory of corpora, and pairs drawn for the reranker."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.corpora import corpora
from training.adapter.judged import DrawnPairs
from training.adapter.lines import load_lines
from training.data.synthetic.written import load_facts

__all__ = ["corpora"]  # a fixture


def by_letters(texts: list[str]) -> Tensor:
    """Letter frequencies of each text, as unit vectors (n, 26)."""
    counts = torch.tensor([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]).float()
    return F.normalize(counts + 1e-3, dim=-1)


@pytest.fixture(scope="module")
def drawn() -> DrawnPairs:
    """Pairs of the held-out facts and lines."""
    facts, lines = load_facts(validation=True), load_lines(validation=True)
    return DrawnPairs(facts, lines, by_letters, random.Random(0))
