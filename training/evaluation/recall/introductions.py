"""Whether several things told in one line come back: ``varda-eval CHECKPOINT introductions``.

Forty people tell three lines each, of two to four sentences, half of which lean on another by a pronoun; hand-written
for this measure alone (``training/evaluation/data/introductions.jsonl``). Between telling and each question the memory
is closed and opened again. The control asks the same of another person's memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from training.evaluation.recall.telling import GREEDY, open_store
from training.evaluation.scoring import Score, normalised
from training.evaluation.tables import new_table, score_json, share_text
from training.tables import check_keys, read_table, texts
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession
from varda_chat.session.turn import Turn

DATA = Path(__file__).parents[1] / "data" / "introductions.jsonl"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Person:
    """What somebody says, line by line, and questions with the words of which a right answer holds one."""

    lines: tuple[str, ...]
    asked: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Answer:
    """An answer after a restart. stored: a sentence that holds a right value is in memory; read: one stood before the
    reply; right: the reply holds one; by_chance: so does the reply from another person's memory."""

    person: int
    asked: str
    values: tuple[str, ...]
    reply: str
    stored: bool
    read: bool
    right: bool
    by_chance: bool


@dataclass(frozen=True)
class Introductions:
    """All answers; how many tokens people's lines had, and of how many a vector was stored."""

    answers: tuple[Answer, ...]
    tokens: int
    stored_tokens: int


def read_people(path: Path = DATA) -> tuple[Person, ...]:
    """Those in a file. Raises DataError naming file and line of a bad entry."""
    return tuple(read_table(path, _person))


def _person(entry: dict[str, Any]) -> Person:
    check_keys(entry, ("lines", "asked"))
    lines = texts(entry, "lines")
    asked = []
    for each in entry["asked"]:
        check_keys(each, ("ask", "values"))
        values = texts(each, "values")
        if not any(_holds(line, values) for line in lines):
            raise ValueError(f"{each['ask']!r}: no line holds one of its values")
        asked.append((str(each["ask"]), values))
    return Person(lines, tuple(asked))


def measure(checkpoint: Checkpoint, people: Sequence[Person], *, on_progress: Progress | None = None) -> Introductions:
    """Tell every one's lines to a memory of their own, then ask."""
    steps, total = 0, sum(len(person.lines) + 2 * len(person.asked) for person in people)

    def step(doing: str) -> None:
        nonlocal steps
        steps += 1
        if on_progress is not None:
            on_progress(doing, steps, total)

    tokens = stored_tokens = 0
    with tempfile.TemporaryDirectory(prefix="varda-introductions-") as scratch:
        memories = [Path(scratch) / str(number) for number in range(len(people))]
        for person, memory in zip(people, memories, strict=True):
            with ChatSession(checkpoint, open_store(checkpoint, memory), generation=GREEDY) as session:
                for line in person.lines:
                    session.reply(line)
                    message = checkpoint.chat.encode("user", line)
                    tokens += len(message.ids) - message.header - message.footer
                    step("telling")
                stored_tokens += sum(each.vector_count for each in session.memory.statements() if each.role == "user")
        answers = []
        for number, person in enumerate(people):
            for question, values in person.asked:
                turn, told = _asked(checkpoint, memories[number], question)
                step("asking")
                other, _ = _asked(checkpoint, memories[(number + 1) % len(memories)], question)
                step("asking")
                read = [*(each.text for each in turn.read), *(each.text for each in turn.recalled)]
                answers.append(
                    Answer(
                        number, question, values, turn.reply, any(_holds(text, values) for text in told),
                        any(_holds(text, values) for text in read), _holds(turn.reply, values),
                        _holds(other.reply, values),
                    )
                )  # fmt: skip
    return Introductions(tuple(answers), tokens, stored_tokens)


def _asked(checkpoint: Checkpoint, memory: Path, question: str) -> tuple[Turn, list[str]]:
    """The answer from a memory that nothing is written to, and the texts in it."""
    store = open_store(checkpoint, memory, read_only=True)
    with ChatSession(checkpoint, store, generation=GREEDY) as session:
        return session.reply(question), [each.text for each in session.memory.statements()]


def _holds(text: str, values: Sequence[str]) -> bool:
    """Whether ``text`` has one of ``values`` in its words, whatever their endings."""
    words = f" {normalised(text)}"
    return any(f" {normalised(value)}" in words for value in values)


SHARES = ("stored", "read", "right", "by_chance")


def _score(found: Introductions, name: str) -> Score:
    return Score.of(getattr(each, name) for each in found.answers)


def introductions_tables(found: Introductions) -> list[Table]:
    """How many of what was asked for was stored, read before the reply, and said."""
    table = new_table("Several things told in a line", "questions whose answer", "share")
    names = ("is in memory", "was read for the reply", "was given", "was given from another person's memory")
    for name, title in zip(SHARES, names, strict=True):
        table.add_row(title, share_text(_score(found, name)))
    table.caption = f"95 % intervals in brackets; vectors for {found.stored_tokens} of {found.tokens} tokens told"
    return [table]


def introductions_json(found: Introductions) -> dict[str, Any]:
    """A score for each of SHARES, ``tokens``, ``stored_tokens`` and all answers."""
    return {
        **{name: score_json(_score(found, name)) for name in SHARES},
        "tokens": found.tokens,
        "stored_tokens": found.stored_tokens,
        "answers": [asdict(each) for each in found.answers],
        "notices": [],
    }


def wrong_answers(found: Introductions, count: int) -> tuple[str, ...]:
    """The first ``count`` questions that were answered wrong, with the replies."""
    wrong = [each for each in found.answers if not each.right]
    return tuple(
        f"{each.asked} -> {each.reply}  ({'/'.join(each.values)}; "
        f"{'read' if each.read else 'not found' if each.stored else 'not stored'})"
        for each in wrong[:count]
    )
