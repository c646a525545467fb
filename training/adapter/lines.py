"""Hand-written lines to talk between facts: exchanges by kind, dialogues, and facts with their questions, as JSONL."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from training.data.synthetic.templates import Clauses, Relation
from training.tables import read_table
from varda_chat.errors import DataError

Row = TypeVar("Row")

DIRECTORY: Final = Path(__file__).parent.parent / "data" / "synthetic"
EXCHANGES: Final = (
    "social",
    "social_b",
    "social_c",
    "social_d",
    "social_e",
    "social_f",
    "social_g",
    "world",
    "world_b",
    "world_c",
    "world_d",
    "world_e",
    "spared",
)
DIALOGUES: Final = ("dialogues", "dialogues_b", "dialogues_c", "dialogues_d", "dialogues_e")
NOTED: Final = ("notes_a", "notes_b", "notes_c", "notes_d", "notes_e", "notes_f")
FACTS: Final = ("facts_a", "facts_b", "facts_c", "facts_d", "facts_e")
NOT_ASKED: Final = ("use", "ignore")
"""Kinds of noted lines that ask nothing of the memory."""
HELD_OUT: Final = 20
"""One line in so many is kept for validation."""


@dataclass(frozen=True)
class Exchange:
    """A user's line that concerns nothing in memory, and its reply. ``kind``: file and kind, "spared/idiom"."""

    kind: str
    user: str
    reply: str


@dataclass(frozen=True)
class Noted:
    """A user's line, the statements that were found for it, and the reply."""

    found: tuple[str, ...]
    user: str
    reply: str
    kind: str

    @property
    def asks(self) -> bool:
        """Whether the line asks for what was told."""
        return self.kind not in NOT_ASKED


@dataclass(frozen=True)
class Lines:
    """Everything that is said between facts. dialogues: lists of (role, text); noted: lines with statements of their
    own; replies: what is said on a decision, by kind, the questions for all that is remembered
    ("overview"), and what asks for something to be kept ("insist", with {w} for it)."""

    exchanges: tuple[Exchange, ...]
    noted: tuple[Noted, ...]
    dialogues: tuple[tuple[tuple[str, str], ...], ...]
    replies: dict[str, tuple[str, ...]]


def load_lines(*, validation: bool, directory: Path = DIRECTORY) -> Lines:
    """The training part, or the held-out one. Raises DataError naming file and line of a bad entry."""
    exchanges = [
        Exchange(f"{name.partition('_')[0]}/{entry['kind']}", entry["user"], entry["reply"])
        for name in EXCHANGES
        for _, entry in part_of(read_table(directory / f"{name}.jsonl", dict), validation=validation)
    ]
    dialogues = [
        _turns(f"{name}.jsonl, line {number + 1}", entry["turns"])
        for name in DIALOGUES
        for number, entry in part_of(read_table(directory / f"{name}.jsonl", dict), validation=validation)
    ]
    noted = [
        Noted(tuple(entry["notes"]), entry["user"], entry["reply"], entry["kind"])
        for name in NOTED
        for _, entry in part_of(read_table(directory / f"{name}.jsonl", dict), validation=validation)
    ]
    replies: dict[str, tuple[str, ...]] = {}
    for entry in read_table(directory / "replies.jsonl", dict):
        replies[entry["kind"]] = (*replies.get(entry["kind"], ()), entry["text"])
    return Lines(tuple(exchanges), tuple(noted), tuple(dialogues), replies)


def _turns(where: str, turns: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """A dialogue's (role, text), the user's first and Varda's last, in turn."""
    if not turns or len(turns) % 2 or any(who != ("user", "varda")[i % 2] for i, (who, _) in enumerate(turns)):
        raise DataError(f"{where}: the turns must be user's and varda's, one after the other, varda's last.")
    return tuple((("user", "assistant")[i % 2], text) for i, (_, text) in enumerate(turns))


def load_facts(*, validation: bool, directory: Path = DIRECTORY) -> tuple[Relation, ...]:
    """Relations of the hand-written facts, each with the one value that it was written with."""
    return tuple(
        _relation(f"{name}_{number}", entry)
        for name in FACTS
        for number, entry in part_of(read_table(directory / f"{name}.jsonl", dict), validation=validation)
    )


def fixed_value(relation: Relation) -> tuple[str, str] | None:
    """The value of a hand-written fact, and the one that a correction puts in its place."""
    kind, _, value = relation.kind.partition(":")
    if kind != "fixed":
        return None
    old, new = json.loads(value)
    return old, new


def _relation(name: str, entry: dict[str, Any]) -> Relation:
    value, new = entry["value"], entry["new"]
    tell = entry["tell"].replace(value, "{value}", 1)
    correct = entry["correct"].replace("{new}", "{value}")
    answers = tuple(answer for answer in entry["answer"] if answer.count("{value}") == 1)
    if tell.count("{value}") != 1 or not answers:
        raise DataError(f"{name}: the telling must contain the value, and an answer must contain it once")
    if correct.count("{value}") != 1:
        correct = ""
    return Relation(
        name=name, kind=f"fixed:{json.dumps([value, new])}", topic=entry["topic"], tell=(tell,),
        ask=tuple(entry["ask"]), answer=answers, correct=(correct,) if correct else (), forget=(entry["forget"],),
        unknown=(entry["unknown"],), acknowledge=(entry["reply"],), tell_held_out=(), ask_held_out=(),
        correct_held_out=(), forget_held_out=(), clauses=Clauses((), (), (), ()), changes=True, own_words=1.0,
    )  # fmt: skip


def part_of(rows: Sequence[Row], *, validation: bool) -> Iterator[tuple[int, Row]]:
    """The rows of the training part, or of the held-out one, with their numbers in the whole."""
    for number, row in enumerate(rows):
        if (number % HELD_OUT == 0) == validation:
            yield number, row


def stratified(rng: random.Random, exchanges: Sequence[Exchange], by_kind: dict[str, list[Exchange]]) -> Exchange:
    """One exchange: of any kind alike, half the time; of all lines alike, else."""
    if rng.random() < 0.5:
        return rng.choice(by_kind[rng.choice(sorted(by_kind))])
    return rng.choice(exchanges)
