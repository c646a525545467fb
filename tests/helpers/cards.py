"""Results of a benchmark, and model cards written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from tests.helpers.tiny_gpt2 import tiny_model
from training.config import PRESETS, TrainConfig
from training.data.sources.corpora import CORPORA
from training.evaluation.recall.benchmark import Benchmark, Outcome, Plan
from training.model_card import Making, write_card
from training.validation import Validation
from varda_chat.models.chat_format import ChatFormat

CREDITS = tuple((corpus.name, corpus.licence, corpus.attribution) for corpus in CORPORA)
PERPLEXITY = {
    "sources": ["wikitext-2"], "split": "test", "documents": 62,
    "readers": {
        reader: {"word_perplexity": 41.23456, "token_perplexity": 20.0, "accuracy": 0.375}
        for reader in ("memory", "no memory", "another document's memory")
    },
}  # fmt: skip


def benchmark() -> Benchmark:
    """Of ten facts of each phrasing, eight and six were recalled; of two corrections one was; nothing was forgotten."""
    plan = Plan(facts=10, tasks=("recall", "update", "forget"), tiers=("seen", "held-out"), controls=("no-memory",))

    def outcome(task: Any, tier: Any, measure: Any, condition: Any, right: bool) -> Outcome:
        return Outcome(task, tier, measure, condition, 0, "told", "asked", "reply", right)

    recalled = [
        outcome("recall", tier, "value named", "memory", number < rights)
        for tier, rights in (("seen", 8), ("held-out", 6))
        for number in range(10)
    ]
    without = [outcome("recall", tier, "value named", "no-memory", False) for tier in plan.tiers] * 10
    updated = [outcome("update", "seen", "new value, not the old", "memory", right) for right in (True, False)]
    return Benchmark(plan, (*recalled, *without, *updated), ())


def written(directory: Path, chat: ChatFormat, recall: Benchmark | None, credits: Any = CREDITS) -> Any:
    preset = PRESETS["nano"]
    config = TrainConfig(
        preset="nano", learning_rate=preset.learning_rate, max_steps=20_000, fact_episodes=1, multi_session_episodes=0,
        dialogue_rows=1, question_pairs=0, episode_length=128, row_length=128, gradient_accumulation_steps=4,
    )  # fmt: skip
    making = Making("varda-train --preset nano", "", 60.0, "2 CPU threads", 100, 10_000, 2500.0, credits)
    validation = Validation(3.5, 3.0, 0.5, 0.5, 0.0, 0.5, 0.0, 0.2)
    write_card(directory, tiny_model(chat), config, making, validation, recall)
    return ModelCard.load(directory / "README.md")
