"""Writes a model card: what it is, how it was made, from which data under which licences, what it reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.evaluation.recall.benchmark import Benchmark, Condition
from training.evaluation.recall.report import conditions
from training.evaluation.recall.tasks import MEASURES, Tier
from training.evaluation.tables import score_json
from training.model_card_metadata import CARD, LICENCE, front_matter, licence_text
from training.validation import Validation
from varda_chat.models import VardaGPTAssociative


@dataclass(frozen=True)
class Making:
    """How a checkpoint came to be. ``note``: what the command alone does not tell; ``run.json`` of the run's directory holds
    both. ``steps``: those that were made, fewer than planned where ``patience`` ended the run. ``seconds``: of training, without
    data preparation. ``credits``: name, licence and attribution of what was read."""

    command: str
    note: str
    seconds: float
    hardware: str
    training_documents: int
    steps: int
    steps_per_epoch: float
    credits: tuple[tuple[str, str, str], ...]


def write_card(
    directory: Path,
    model: VardaGPTAssociative,
    config: TrainConfig,
    making: Making,
    validation: Validation,
    recall: Benchmark | None,
) -> None:
    """Write ``README.md`` and ``LICENSE`` into the checkpoint's directory; ``recall`` is None where no facts were told in
    training."""
    c = model.config
    parameters = sum(p.numel() for p in model.parameters())
    tokens = making.steps * config.tokens_per_step
    episodes = config.fact_episodes + (0 if recall else config.multi_session_episodes)
    of_episodes = episodes * config.episode_length * config.gradient_accumulation_steps / config.tokens_per_step
    data = "\n".join(f"| {' | '.join(credit)} |" for credit in making.credits)
    name = f"Varda ({config.preset})"
    results = [_result(recall)] if recall else []
    text = f"""{front_matter(name, ("gpt2", "memory", "faiss", "varda-chat"), making.credits, results)}
# {name}

A GPT-2 of {parameters / 1e6:.1f} M parameters with an associative memory: it searches a FAISS index while it writes, copies
what it finds, and decides by learned gates what to store and what to delete. Made for
`varda-chat`, a terminal chat that remembers. {_SMALL_TALK if recall else _NO_TALK}

| | |
| --- | --- |
| blocks, width, heads | {c.n_layer}, {c.n_embd}, {c.n_head} |
| vocabulary, positions | {c.vocab_size:,}, {c.n_positions} |
| memory_dim, results read at a token | {c.memory_dim}, {c.num_search_results} |
| memory read after block | {c.memory_layer} of {c.n_layer} |
| a new memory's size, index and share forgotten at random a session | {c.memory_size:,} vectors, {c.index_type}, {c.forgetfulness_factor:g} |
| store threshold, delete threshold | {c.store_threshold}, {c.delete_threshold} (calibrated on validation episodes) |

## How to use it

`varda-chat --checkpoint DIRECTORY`; or, in Python, `varda_chat.register_models()` and then
`transformers.AutoModelForCausalLM.from_pretrained(DIRECTORY)`.

## How it was made

```
{making.command}
```

{making.note + chr(10) + chr(10) if making.note else ""}Seed {config.seed}, {making.steps:,} steps ({making.steps / making.steps_per_epoch:.1f} passes over
{making.training_documents:,} documents, {tokens / 1e6:.0f} M tokens in all, {of_episodes:.0%} of them
{"fact episodes" if recall else "episodes of consecutive segments"}), AdamW at {config.learning_rate:g}, {config.mixed_precision} autocast, {making.seconds / 60:.0f} minutes on {making.hardware}.
{_FACTS if recall else _SEGMENTS}

## Data

| corpus | licence | attribution |
| --- | --- | --- |
{data}

{_SELECTION if any(name == "ms_personality_chat" for name, *_ in making.credits) else ""}Where a corpus has no official split, about 2 % of it (in msc by
pairs of people) is kept for validation.

## What it reaches

{_recall(recall) if recall else ""}On validation data, teacher-forced, after calibration (the last table that `varda-train` prints): loss
{validation.loss:.3f} a token (perplexity {math.exp(validation.loss):.1f}); {"values" if recall else "rare words that come back"} right with stores as in chat {validation.values_hard:.1%}, without memory
{validation.values_without:.1%}; {f"outdated statements deleted {validation.deleted:.1%}, others wrongly deleted {validation.deleted_wrongly:.1%}; " if recall else ""}{validation.store_rate:.1%} of all tokens of
{"fact " if recall else ""}episodes stored.

## Limits

{_LIMITS if recall else _TEXT_LIMITS}
"""
    (directory / CARD).write_text(text, encoding="utf-8")
    (directory / LICENCE).write_text(licence_text(making.credits), encoding="utf-8")


_SMALL_TALK = """It is small: it remembers what it is told far better than it knows the world,
and its small talk is simple."""
_NO_TALK = """This one has read text alone."""
_FACTS = """Fact episodes are generated: facts told in one session, corrected, forgotten and asked for in later ones, with the values of
the test split held out."""
_SEGMENTS = """Each segment of an episode reads what the earlier ones stored; rare words that come back are what the search should find."""
_LIMITS = """English only. It makes things up about the world, follows a topic for a few turns, and confuses facts that are told in
unusual words or are close to each other (two friends' jobs, say). It was measured on the kinds of facts that its generator
knows. It has no safety training; its data are public chats. Do not rely on it for anything that matters."""
_SELECTION = """Of ms_personality_chat only the style "friendly" is read. Dialogues with name placeholders are left out.
"""
_TEXT_LIMITS = """It was trained on text alone, without any dialogue: it continues a text, and does not chat. Measure it with
`varda-eval CHECKPOINT perplexity --dataset NAME`. It makes things up. Do not rely on it for anything that matters."""


def _recall(recall: Benchmark) -> str:
    rows = "\n".join(
        f"| {condition.replace('-', ' ')} | {_score(recall, condition, 'seen')} | {_score(recall, condition, 'held-out')} |"
        for condition in conditions(recall)
    )
    return f"""`varda-eval CHECKPOINT recall --facts {recall.plan.facts} --tasks recall --tiers seen,held-out --controls no-memory,shuffled-memory --distractors 0`:
facts with values that never occur in training are told over two sessions between small talk, {recall.plan.per_person} to a memory; the
memory is written to disk and reopened; each fact is asked for in a session of its own, by greedy decoding; right means
that the reply names the whole value.

| answered right | seen phrasings | held-out phrasings |
| --- | --- | --- |
{rows}

{sum(e.facts_stored for e in recall.economy)} of {sum(e.facts for e in recall.economy)} facts were stored, in {sum(e.vectors for e in recall.economy):,} vectors; of the users' tokens, small talk included,
{sum(e.stored for e in recall.economy) / max(1, sum(e.user_tokens for e in recall.economy)):.0%} were stored.

"""


def _result(recall: Benchmark) -> dict[str, Any]:
    """Of the benchmark's JSON (``report.recall_json``) what metadata has: all of it needs the extra bench."""
    plan = recall.plan
    return {
        "tasks": {
            task: {
                measure: {tier: score_json(recall.score(task, measure, tier)) for tier in plan.tiers}
                for measure in MEASURES[task]
            }
            for task in plan.tasks
        }
    }


def _score(recall: Benchmark, condition: Condition, tier: Tier) -> str:
    score = recall.recall(condition, tier)
    low, high = score.interval
    return f"{score.share:.1%} ({score.right}/{score.total}; 95 %: {low:.0%} to {high:.0%})"
