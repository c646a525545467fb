"""Everyday facts: told in passing and asked for in roundabout ways, from the tables in ``everyday/``, one a line.

Promises: every entry becomes a relation with texts of its own for telling, asking, answering, correcting and
forgetting; entries that the same answer would fit share a topic, with each other and with the relations made from
clauses.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from training.data.synthetic.templates import A, Clauses, Relation, V
from training.data.synthetic.values import KINDS
from training.data.synthetic.wordings import one_word
from training.tables import read_table

TABLES: Final = Path(__file__).parent / "everyday"
OWN_WORDS: Final = 0.8
"""Share of tellings and questions that are an entry's own sentences; the others wrap its plain clauses."""

_WITH_VALUE: Final = ("tell", "answer_full", "correct")
_WITHOUT_VALUE: Final = ("ask", "unknown", "forget", "reply")
_SAME: Final = one_word("same")


def load_everyday(directory: Path = TABLES) -> tuple[Relation, ...]:
    """The relations of all tables, in order of file and line. Raises DataError naming file and line of a bad entry."""
    return tuple(relation for path in sorted(directory.glob("*.jsonl")) for relation in read_table(path, _build))


def _build(entry: dict[str, Any]) -> Relation:
    _check(entry)
    return _relation(entry)


def _check(entry: dict[str, Any]) -> None:
    """Raise ValueError for an entry that training could not use."""
    if entry["kind"] not in KINDS:
        raise ValueError(f"there is no kind of value {entry['kind']!r}")
    for text in [entry["say"], entry["answer"], *(t for name in _WITH_VALUE for t in entry[name])]:
        if len(re.findall(r"\{(?:a_)?value\}", text)) != 1:
            raise ValueError(f"one value is wanted in {text!r}")
    for text in [entry["ask_clause"], entry["about"], *(t for name in _WITHOUT_VALUE for t in entry[name])]:
        if V in text or A in text:
            raise ValueError(f"no value is wanted in {text!r}")


def _relation(entry: dict[str, Any]) -> Relation:
    clauses = Clauses((entry["say"],), (entry["answer"],), (entry["ask_clause"],), (entry["about"],))
    topic = "_".join(_SAME.get(word, word) for word in entry["topic"].split("_"))
    return Relation(
        name=entry["name"],
        kind=entry["kind"],
        topic=topic,
        tell=tuple(entry["tell"]),
        ask=tuple(entry["ask"]),
        answer=tuple(entry["answer_full"]),
        correct=tuple(entry["correct"]),
        forget=tuple(entry["forget"]),
        unknown=tuple(entry["unknown"]),
        acknowledge=tuple(entry["reply"]),
        tell_held_out=(),
        ask_held_out=(),
        correct_held_out=(),
        forget_held_out=(),
        clauses=clauses,
        changes=True,
        own_words=OWN_WORDS,
    )
