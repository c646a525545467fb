"""The hand-written tier of the memory benchmark: people's own words, every value of the test split, no template.

Each statement and question was written one by one, without looking at the training phrasings, and each question can be
answered from its statement alone. `tests/training/evaluation/recall/test_handwritten.py` holds the tables to these
promises. The items are data: `training/evaluation/data/`, whose README says what a line of each file holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.evaluation import DATA
from training.tables import read_items


@dataclass(frozen=True)
class Handwritten:
    """One fact as a person tells it, and a question it answers."""

    topic: str  # the kind of fact; a script gives one person at most one item of a topic
    statement: str
    question: str
    value: str  # what the reply must contain
    also: tuple[str, ...] = ()  # other spellings of the value that are as good


@dataclass(frozen=True)
class HandwrittenUpdate:
    """A fact, its correction, and a question whose answer is now the new value."""

    topic: str
    statement: str
    correction: str
    question: str
    old: str
    new: str


@dataclass(frozen=True)
class HandwrittenForget:
    """A fact, the request to forget it, and the question that must then find nothing."""

    topic: str
    statement: str
    request: str
    question: str
    value: str


@dataclass(frozen=True)
class HandwrittenUnknown:
    """A question about something the person never told."""

    topic: str
    question: str
    answered_by: tuple[str, ...] = ()  # other topics whose facts would answer it


@dataclass(frozen=True)
class HandwrittenJoined:
    """Two facts, told apart, that one question asks for together."""

    statements: tuple[str, str]
    question: str
    values: tuple[str, str]


@dataclass(frozen=True)
class HandwrittenGroup:
    """Alike facts about different people, told to one memory, and the questions that tell them apart."""

    statements: tuple[str, ...]
    questions_values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Text:
    """A line of small talk."""

    text: str


FACTS: Final = read_items(DATA / "recall_facts.jsonl", Handwritten)
UPDATES: Final = read_items(DATA / "recall_updates.jsonl", HandwrittenUpdate)
"""The first half of the corrections name the thing in full, the second half refer back to it by a noun."""
FORGETS: Final = read_items(DATA / "recall_forgets.jsonl", HandwrittenForget)
UNKNOWNS: Final = read_items(DATA / "recall_unknowns.jsonl", HandwrittenUnknown)
JOINED: Final = read_items(DATA / "recall_joined.jsonl", HandwrittenJoined)
INTERFERENCE: Final = read_items(DATA / "recall_interference.jsonl", HandwrittenGroup)
SMALL_TALK: Final = tuple(each.text for each in read_items(DATA / "recall_small_talk.jsonl", _Text))
