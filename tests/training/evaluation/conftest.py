"""What tests of the evaluation share: a tiny checkpoint whose replies end, and corpora of sessions."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.data.sources.corpora import CORPORA
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint

TALK = ("Hello, how are you today?", "I like music a lot.", "It rains again.", "Do you know a good film?")


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every corpus by name; in msc, the sessions of pairs of people."""
    directory = tmp_path_factory.mktemp("corpora")
    for corpus in CORPORA:
        for name in corpus.files:
            with lzma.open(directory / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
                for number in range(150):
                    rng = random.Random(number)
                    turns = [{"speaker": ("user", "assistant")[i % 2], "text": rng.choice(TALK)} for i in range(4)]
                    for session in (2, 3):
                        identity = f"s{session}-valid_{number}" if corpus.name == "msc" else f"{session}x{number}"
                        file.write(json.dumps({"id": identity, "turns": turns}) + "\n")
    return directory


@pytest.fixture(scope="module")
def short_replies() -> Iterator[None]:
    """An untrained model never ends a reply by itself."""
    short = GenerationSettings(temperature=0.0, max_new_tokens=8)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("telling", "reading", "controls", "exchanges"):
            patch.setattr(f"training.evaluation.recall.{module}.GREEDY", short)
        yield
