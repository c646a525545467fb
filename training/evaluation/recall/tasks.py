"""What a script of the recall benchmark is, and its tasks over facts from wherever.

A script is one person with a memory of their own. Facts are told over two sessions, between lines of small talk;
corrections and requests to forget come in a third. Each question is asked in a session of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from training.evaluation.recall import items as recall_items
from training.evaluation.scoring import names, names_any

Tier = Literal["seen", "held-out", "hand-written", "development"]
Task = Literal["recall", "update", "forget", "never-told", "joined", "interference"]
Measure = Literal[
    "value named",
    "new value, not the old",
    "not named any more",
    "other facts recalled",
    "admits it, names nothing",
    "both values named",
    "its value, nobody else's",
    "old record deleted",
    "other records kept",
]

TIERS: tuple[Tier, ...] = ("seen", "held-out", "hand-written")
"""The benchmark's. The development tier has to be asked for."""
TASKS: tuple[Task, ...] = get_args(Task)
MEASURES: dict[Task, tuple[Measure, ...]] = {
    "recall": ("value named",),
    "update": ("new value, not the old", "old record deleted", "other records kept", "other facts recalled"),
    "forget": ("not named any more", "old record deleted", "other records kept", "other facts recalled"),
    "never-told": ("admits it, names nothing",),
    "joined": ("both values named",),
    "interference": ("its value, nobody else's",),
}
"""What is counted in each task."""


@dataclass(frozen=True)
class Line:
    """A user's message. ``values``: what it tells, none for small talk. ``outdates``: the values whose records should
    leave the memory because of it."""

    text: str
    values: tuple[str, ...] = ()
    outdates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked, and what a right reply holds.

    wanted: the reply must name one of each group (spellings of one value).
    unwanted: values that it must not name.
    kind: of the value asked for, where nothing was told; None where it is not one of the generator's.
    told: the words of the person that it is about.
    """

    text: str
    measure: Measure
    told: str
    wanted: tuple[tuple[str, ...], ...] = ()
    unwanted: tuple[str, ...] = ()
    kind: str | None = None


@dataclass(frozen=True)
class Script:
    """One person. ``sessions`` are told first, then ``changes`` in one more session (where there are any)."""

    task: Task
    tier: Tier
    sessions: tuple[tuple[Line, ...], ...]
    changes: tuple[Line, ...]
    questions: tuple[Question, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All that is told before the changes."""
        return tuple(line for session in self.sessions for line in session)

    @property
    def facts(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.values)

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(value for line in (*self.lines, *self.changes) for value in line.values)


@dataclass(frozen=True)
class Fact:
    """One thing to tell and to ask for. ``also``: other spellings of the value. ``correction`` and ``new``: how it
    changes, ``request``: how it is to be forgotten (where they are used).

    topics: what the statement tells about, its own topic first; a person tells each only once.
    told_too: values that the statement tells besides.
    """

    topics: tuple[str, ...]
    statement: str
    question: str
    value: str
    also: tuple[str, ...] = ()
    told_too: tuple[str, ...] = ()
    kind: str | None = None
    correction: str = ""
    new: str = ""
    request: str = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        return (self.value, *self.also)

    @property
    def line(self) -> Line:
        return Line(self.statement, (*self.spellings, *self.told_too))

    def asked(self, measure: Measure, unwanted: Iterable[str] = ()) -> Question:
        """The question for its value; what the question itself says cannot be unwanted."""
        return Question(
            self.question, measure, self.statement, (self.spellings,),
            tuple(value for value in unwanted if not names(self.question, value)), self.kind,
        )  # fmt: skip


def fits(fact: Fact, life: Sequence[Fact]) -> bool:
    """Whether the fact can be told by somebody who tells ``life``: another topic, and no value in another's words."""
    if fact.new and (names(fact.new, fact.value) or names(fact.value, fact.new)):
        return False
    return all(
        not set(fact.topics) & set(other.topics)
        and not _holds_value_of(fact, other)
        and not _holds_value_of(other, fact)
        for other in life
    )


def _holds_value_of(fact: Fact, other: Fact) -> bool:
    words = f"{fact.statement} / {fact.correction} / {fact.question} / {fact.request}"
    return names_any(words, (*other.line.values, other.new))


def _told(lines: Sequence[Line], rng: random.Random) -> tuple[tuple[Line, ...], ...]:
    """The lines over two sessions, in this order, with a line or two of small talk somewhere in each."""
    half = (len(lines) + 1) // 2
    sessions = []
    for part in (lines[:half], lines[half:]):
        session = list(part)
        for text in rng.sample(recall_items.SMALL_TALK, rng.randint(1, 2)):
            session.insert(rng.randint(0, len(session)), Line(text))
        sessions.append(tuple(session))
    return tuple(sessions)


def script_of(
    task: Task,
    tier: Tier,
    told: Sequence[Line],
    questions: Iterable[Question],
    rng: random.Random,
    changes: Iterable[Line] = (),
) -> Script:
    """A script that tells ``told`` over two sessions, with small talk between."""
    return Script(task, tier, _told(told, rng), tuple(changes), tuple(questions))


def recall(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    """All facts are told, and each is asked for."""
    return script_of("recall", tier, [f.line for f in facts], [f.asked("value named") for f in facts], rng)


def update(tier: Tier, changing: Sequence[Fact], others: Sequence[Fact], rng: random.Random) -> Script:
    """The ``changing`` facts are corrected after everything has been told; all are asked for."""
    told = [fact.line for fact in (*changing, *others)]
    rng.shuffle(told)
    questions = [
        Question(fact.question, "new value, not the old", f"{fact.statement} / {fact.correction}",
                 ((fact.new,),), fact.spellings)
        for fact in changing
    ]  # fmt: skip
    questions += [fact.asked("other facts recalled") for fact in others]
    changes = [Line(fact.correction, (fact.new,), fact.spellings) for fact in changing]
    return script_of("update", tier, told, questions, rng, changes)


def forget(tier: Tier, leaving: Sequence[Fact], others: Sequence[Fact], rng: random.Random) -> Script:
    """The ``leaving`` facts are to be forgotten after everything has been told; all are asked for."""
    told = [fact.line for fact in (*leaving, *others)]
    rng.shuffle(told)
    questions = [
        Question(fact.question, "not named any more", f"{fact.statement} / {fact.request}", (), fact.spellings)
        for fact in leaving
    ]
    questions += [fact.asked("other facts recalled") for fact in others]
    changes = [Line(fact.request, (), fact.spellings) for fact in leaving]
    return script_of("forget", tier, told, questions, rng, changes)


def never_told(
    tier: Tier, facts: Sequence[Fact], asked: Sequence[tuple[str, str | None]], rng: random.Random
) -> Script:
    """``asked``: questions with the kinds of their values."""
    known = tuple(value for fact in facts for value in fact.line.values)
    questions = [Question(text, "admits it, names nothing", "", (), known, kind) for text, kind in asked]
    return script_of("never-told", tier, [fact.line for fact in facts], questions, rng)


def joined(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    """Each fact with the next, in one question."""
    pairs = [(facts[i], facts[(i + 1) % len(facts)]) for i in range(len(facts) if len(facts) > 2 else 1)]
    questions = [
        Question(f"{one.question} {_and(two.question)}", "both values named", f"{one.statement} / {two.statement}",
                 (one.spellings, two.spellings))
        for one, two in pairs
    ]  # fmt: skip
    return script_of("joined", tier, [fact.line for fact in facts], questions, rng)


def _and(question: str) -> str:
    """The question as it follows another: "And what is my cat called?"."""
    own_capital = question.split()[0].rstrip(",.'’").split("'")[0] in ("I", "Varda")
    return f"And {question if own_capital else question[:1].lower() + question[1:]}"


def interference(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    """All facts are told, in any order, and each is asked for: a value of another is wrong."""
    questions = [
        fact.asked("its value, nobody else's", [s for other in facts if other is not fact for s in other.spellings])
        for fact in facts
    ]
    told = list(facts)
    rng.shuffle(told)
    return script_of("interference", tier, [fact.line for fact in told], questions, rng)
