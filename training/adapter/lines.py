"""Hand-written lines to talk between facts: exchanges by kind, lines with what was found, dialogues."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.data.synthetic.leaning import load_tellings
from training.data.synthetic.wordings import HERE
from training.data.synthetic.written import part_of
from training.tables import read_table
from varda_chat.errors import DataError

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
NOT_ASKED: Final = ("use", "ignore")
"""Kinds of noted lines that ask nothing of the memory."""


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
class Passing:
    """A user's line that tells something beside doing something else, the part of it that is worth keeping, and a line
    in like words that tells nothing."""

    tells: str
    keep: str
    twin: str


@dataclass(frozen=True)
class Lines:
    """Everything that is said between facts. dialogues: lists of (role, text); noted: lines with statements of their
    own; replies: what is said on a decision, by kind, the questions for all that is remembered
    ("overview"), and what asks for something to be kept ("insist", with {w} for it) or
    doubts that it was ("doubt"); asides: questions and requests that concern nothing that was told; recalls: like ones
    that do; passing: what is told in passing."""

    exchanges: tuple[Exchange, ...]
    noted: tuple[Noted, ...]
    dialogues: tuple[tuple[tuple[str, str], ...], ...]
    replies: dict[str, tuple[str, ...]]
    asides: tuple[str, ...] = ()
    recalls: tuple[str, ...] = ()
    passing: tuple[Passing, ...] = ()


def load_lines(*, validation: bool, directory: Path = HERE) -> Lines:
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
    noted += [
        Noted((told.read,), told.ask[0], told.answer, "leaning")
        for telling in load_tellings(validation=validation, directory=directory)
        for told in telling.told
        if told.holds_value(told.read)
    ]
    replies: dict[str, tuple[str, ...]] = {}
    for entry in read_table(directory / "replies.jsonl", dict):
        replies[entry["kind"]] = (*replies.get(entry["kind"], ()), entry["text"])
    apart = [entry for _, entry in part_of(read_table(directory / "asides.jsonl", dict), validation=validation)]
    asides, recalls = (tuple(entry[kind] for entry in apart if kind in entry) for kind in ("aside", "asks"))
    told = part_of(read_table(directory / "passing.jsonl", dict), validation=validation)
    passing = tuple(Passing(entry["tells"], entry["keep"], entry["twin"]) for _, entry in told)
    return Lines(tuple(exchanges), tuple(noted), tuple(dialogues), replies, asides, recalls, passing)


def _turns(where: str, turns: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """A dialogue's (role, text), the user's first and Varda's last, in turn."""
    if not turns or len(turns) % 2 or any(who != ("user", "varda")[i % 2] for i, (who, _) in enumerate(turns)):
        raise DataError(f"{where}: the turns must be user's and varda's, one after the other, varda's last.")
    return tuple((("user", "assistant")[i % 2], text) for i, (_, text) in enumerate(turns))


def stratified(rng: random.Random, exchanges: Sequence[Exchange], by_kind: dict[str, list[Exchange]]) -> Exchange:
    """One exchange: of any kind alike, half the time; of all lines alike, else."""
    if rng.random() < 0.5:
        return rng.choice(by_kind[rng.choice(sorted(by_kind))])
    return rng.choice(exchanges)
