"""Hand-written facts with their questions, and which rows of a hand-written table are held out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from training.data.synthetic.templates import Clauses, Relation
from training.data.synthetic.wordings import HERE
from training.tables import read_table, texts
from varda_chat.errors import DataError

Row = TypeVar("Row")

FACTS: Final = ("facts_a", "facts_b", "facts_c", "facts_d", "facts_e", "facts_f", "facts_g")
HELD_OUT: Final = 20
"""One row in so many is kept for validation."""


def part_of(rows: Sequence[Row], *, validation: bool) -> Iterator[tuple[int, Row]]:
    """The rows of the training part, or of the held-out one, with their numbers in the whole."""
    for number, row in enumerate(rows):
        if (number % HELD_OUT == 0) == validation:
            yield number, row


def load_facts(*, validation: bool, directory: Path = HERE) -> tuple[Relation, ...]:
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
    correct = tuple(each.replace("{new}", "{value}") for each in _texts(entry, "correct"))
    answers = tuple(answer for answer in entry["answer"] if answer.count("{value}") == 1)
    if tell.count("{value}") != 1 or not answers:
        raise DataError(f"{name}: the telling must contain the value, and an answer must contain it once")
    return Relation(
        name=name, kind=f"fixed:{json.dumps([value, new])}", topic=entry["topic"], tell=(tell,),
        ask=tuple(entry["ask"]), answer=answers, correct=tuple(each for each in correct if each.count("{value}") == 1),
        forget=_texts(entry, "forget"),
        unknown=(entry["unknown"],), acknowledge=(entry["reply"],), tell_held_out=(), ask_held_out=(),
        correct_held_out=(), forget_held_out=(), clauses=Clauses((), (), (), ()), changes=True, own_words=1.0,
        near=texts(entry, "near"), near_end=texts(entry, "near_end"),
    )  # fmt: skip


def _texts(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    """One text, or a list of them."""
    return (entry[key],) if isinstance(entry[key], str) else texts(entry, key)
