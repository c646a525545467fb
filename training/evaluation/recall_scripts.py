"""Scripts: who tells what in which session, and what is asked afterwards. A function of task, tier, counts and seed.

A script is one person with a memory of their own. Facts are told over two sessions, between lines of small talk;
corrections and requests to forget come in a third. Each question is asked in a session of its own.

The tiers differ in the words alone, not in the values, which training never sees: ``seen`` takes the phrasings that
training takes, ``held-out`` phrasings that it never took, ``hand-written`` sentences that no template made.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation, render
from training.data.synthetic.values import draw
from training.evaluation import recall_items
from training.evaluation.scoring import names, names_any

Tier = Literal["seen", "held-out", "hand-written"]
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

T = TypeVar("T")

TIERS: tuple[Tier, ...] = get_args(Tier)
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


def make_scripts(
    task: Task, tier: Tier, *, facts: int, per_person: int, seed: int, relations: Sequence[Relation] = RELATIONS
) -> list[Script]:
    """People who tell ``facts`` facts in all (rounded up to whole people, two or more), ``per_person`` each.

    The hand-written sentences are used once each, so there the facts may run out before. A joined or an interference
    person needs two facts or more.
    """
    rng = random.Random(f"{seed}/{task}/{tier}")
    if task in ("joined", "interference"):
        per_person = max(2, per_person)
    people = max(2, math.ceil(facts / per_person))
    if tier == "hand-written":
        return list(_handwritten(task, facts, people, per_person, rng))
    return [_TEMPLATED[task](tier, per_person, rng, relations) for _ in range(people)]


def write_scripts(path: Path, *, facts: int, per_person: int, seed: int) -> int:
    """Write the scripts of every task and tier as JSONL, an object per Script; returns how many. ``data/README.md``
    documents them."""
    scripts = [
        script
        for task in TASKS
        for tier in TIERS
        for script in make_scripts(task, tier, facts=facts, per_person=per_person, seed=seed)
    ]
    lines = (json.dumps(asdict(script), ensure_ascii=False) + "\n" for script in scripts)
    path.write_text("".join(lines), encoding="utf-8")
    return len(scripts)


# Facts of templates


def draw_facts(
    count: int, tier: Tier, rng: random.Random, relations: Sequence[Relation] = RELATIONS
) -> tuple[Fact, ...]:
    """``count`` facts of different relations for one person, with test values that no other line of theirs holds: then
    a named value says which fact was meant. Fewer where the relations do not suffice."""
    return _gathered(rng.sample(list(relations), len(relations)), count, tier, rng)


def _gathered(relations: Iterable[Relation], count: int, tier: Tier, rng: random.Random) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for relation in relations:
        if len(facts) == count:
            break
        tries = (_fact(relation, tier, rng) for _ in range(_TRIES))
        fact = next((fact for fact in tries if _fits(fact, facts)), None)
        if fact is not None:
            facts.append(fact)
    return tuple(facts)


def _fact(relation: Relation, tier: Tier, rng: random.Random) -> Fact:
    r, seen = relation, tier == "seen"
    value, new = (draw(r.kind, "test", rng) for _ in range(2))
    return Fact(
        topics=(r.name,),
        statement=render(rng.choice(r.tell if seen else r.tell_held_out), value),
        question=rng.choice(r.ask if seen else r.ask_held_out),
        value=value,
        kind=r.kind,
        correction=render(rng.choice(r.correct if seen else r.correct_held_out), new),
        new=new,
        request=rng.choice(r.forget if seen else r.forget_held_out),
    )


def _fits(fact: Fact, life: Sequence[Fact]) -> bool:
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


# Sessions


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


def _script(
    task: Task,
    tier: Tier,
    told: Sequence[Line],
    questions: Iterable[Question],
    rng: random.Random,
    changes: Iterable[Line] = (),
) -> Script:
    return Script(task, tier, _told(told, rng), tuple(changes), tuple(questions))


# The tasks, over facts from wherever


def _recall(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    return _script("recall", tier, [f.line for f in facts], [f.asked("value named") for f in facts], rng)


def _update(tier: Tier, changing: Sequence[Fact], others: Sequence[Fact], rng: random.Random) -> Script:
    told = [fact.line for fact in (*changing, *others)]
    rng.shuffle(told)
    questions = [
        Question(fact.question, "new value, not the old", f"{fact.statement} / {fact.correction}",
                 ((fact.new,),), fact.spellings)
        for fact in changing
    ]  # fmt: skip
    questions += [fact.asked("other facts recalled") for fact in others]
    changes = [Line(fact.correction, (fact.new,), fact.spellings) for fact in changing]
    return _script("update", tier, told, questions, rng, changes)


def _forget(tier: Tier, leaving: Sequence[Fact], others: Sequence[Fact], rng: random.Random) -> Script:
    told = [fact.line for fact in (*leaving, *others)]
    rng.shuffle(told)
    questions = [
        Question(fact.question, "not named any more", f"{fact.statement} / {fact.request}", (), fact.spellings)
        for fact in leaving
    ]
    questions += [fact.asked("other facts recalled") for fact in others]
    changes = [Line(fact.request, (), fact.spellings) for fact in leaving]
    return _script("forget", tier, told, questions, rng, changes)


def _never_told(
    tier: Tier, facts: Sequence[Fact], asked: Sequence[tuple[str, str | None]], rng: random.Random
) -> Script:
    """``asked``: questions with the kinds of their values."""
    known = tuple(value for fact in facts for value in fact.line.values)
    questions = [Question(text, "admits it, names nothing", "", (), known, kind) for text, kind in asked]
    return _script("never-told", tier, [fact.line for fact in facts], questions, rng)


def _joined(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    """Each fact with the next, in one question."""
    pairs = [(facts[i], facts[(i + 1) % len(facts)]) for i in range(len(facts) if len(facts) > 2 else 1)]
    questions = [
        Question(f"{one.question} {_and(two.question)}", "both values named", f"{one.statement} / {two.statement}",
                 (one.spellings, two.spellings))
        for one, two in pairs
    ]  # fmt: skip
    return _script("joined", tier, [fact.line for fact in facts], questions, rng)


def _and(question: str) -> str:
    """The question as it goes on from another: "And what is my cat called?"."""
    own_capital = question.split()[0].rstrip(",.'’").split("'")[0] in ("I", "Varda")
    return f"And {question if own_capital else question[:1].lower() + question[1:]}"


def _interference(tier: Tier, facts: Sequence[Fact], rng: random.Random) -> Script:
    questions = [
        fact.asked("its value, nobody else's", [s for other in facts if other is not fact for s in other.spellings])
        for fact in facts
    ]
    told = list(facts)
    rng.shuffle(told)
    return _script("interference", tier, [fact.line for fact in told], questions, rng)


# The tasks, from templates


def _templated_update(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    facts = draw_facts(n, tier, rng, relations)
    changing = (n + 1) // 2
    return _update(tier, facts[:changing], facts[changing:], rng)


def _templated_forget(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    facts = draw_facts(n, tier, rng, relations)
    leaving = max(1, n // 2)
    return _forget(tier, facts[:leaving], facts[leaving:], rng)


def _templated_never_told(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    """Asked is what lies near: for each fact told, a relation of the same kind that was not (the dog's name told, the
    cat's asked for)."""
    facts = draw_facts(n, tier, rng, relations)
    told = {fact.topics[0] for fact in facts}
    free = [relation for relation in relations if relation.name not in told]
    asked = []
    for fact in facts:
        near = [relation for relation in free if relation.kind == fact.kind] or free
        if not near:
            break
        relation = rng.choice(near)
        free.remove(relation)
        asked.append((rng.choice(relation.ask if tier == "seen" else relation.ask_held_out), relation.kind))
    return _never_told(tier, facts, asked, rng)


_TRIES = 50
_GROUP = 3
_PETS_AND_JOBS = ("pet_name", "job")


def _templated_interference(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    """Facts of two kinds, several of each (names of pets and jobs of relatives, in every second memory)."""
    by_kind: dict[str, list[Relation]] = {}
    for relation in relations:
        by_kind.setdefault(relation.kind, []).append(relation)
    kinds = [kind for kind, members in by_kind.items() if len(members) >= _GROUP]
    if set(_PETS_AND_JOBS) <= set(kinds) and rng.random() < 0.5:
        chosen = list(_PETS_AND_JOBS)
    else:
        chosen = rng.sample(kinds, min(2, len(kinds))) or list(by_kind)

    half = (n + 1) // 2
    first = _gathered(rng.sample(by_kind[chosen[0]], len(by_kind[chosen[0]])), half, tier, rng)
    others = [relation for kind in chosen[1:] for relation in by_kind[kind]]
    facts = list(first)
    for fact in _gathered(rng.sample(others, len(others)), n, tier, rng):
        if len(facts) < n and _fits(fact, facts):
            facts.append(fact)
    return _interference(tier, facts, rng)


_TEMPLATED: dict[Task, Callable[[Tier, int, random.Random, Sequence[Relation]], Script]] = {
    "recall": lambda tier, n, rng, relations: _recall(tier, draw_facts(n, tier, rng, relations), rng),
    "update": _templated_update,
    "forget": _templated_forget,
    "never-told": _templated_never_told,
    "joined": lambda tier, n, rng, relations: _joined(tier, draw_facts(n, tier, rng, relations), rng),
    "interference": _templated_interference,
}


# The tasks, from what was written by hand


def _handwritten(task: Task, facts: int, people: int, n: int, rng: random.Random) -> Iterator[Script]:
    """Joined and interference memories hold what was written for them, two facts and three or four."""
    tier: Tier = "hand-written"
    if task == "recall":
        for life in _lives([_plain(each) for each in recall_items.FACTS], n, people, rng):
            yield _recall(tier, life, rng)
    elif task == "update":
        count = (n + 1) // 2
        for life in _lives([_changing(each) for each in recall_items.UPDATES], count, people, rng):
            yield _update(tier, life, _beside(life, n - count, rng), rng)
    elif task == "forget":
        count = max(1, n // 2)
        for life in _lives([_leaving(each) for each in recall_items.FORGETS], count, people, rng):
            yield _forget(tier, life, _beside(life, n - count, rng), rng)
    elif task == "never-told":
        unknown = [Fact((each.topic, *each.answered_by), "", each.question, "") for each in recall_items.UNKNOWNS]
        for asked in _lives(unknown, n, people, rng):
            yield _never_told(tier, _beside(asked, n, rng, near=True), [(fact.question, None) for fact in asked], rng)
    elif task == "joined":
        for joined in _some(recall_items.JOINED, math.ceil(facts / 2), rng):
            lines = [Line(text, tuple(v for v in joined.values if names(text, v))) for text in joined.statements]
            told, wanted = " / ".join(joined.statements), tuple((value,) for value in joined.values)
            yield _script(task, tier, lines, [Question(joined.question, "both values named", told, wanted)], rng)
    else:
        for group in _some(recall_items.INTERFERENCE, math.ceil(facts / 3), rng):
            values = [value for _, value in group.questions_values]
            lines = [Line(text, tuple(v for v in values if names(text, v))) for text in group.statements]
            told = " / ".join(group.statements)
            questions = [
                Question(text, "its value, nobody else's", told, ((value,),),
                         tuple(other for other in values if other != value and not names(text, other)))
                for text, value in group.questions_values
            ]  # fmt: skip
            yield _script(task, tier, lines, questions, rng)


def _some(written: Sequence[T], count: int, rng: random.Random) -> list[T]:
    return rng.sample(list(written), min(count, len(written)))


def _plain(each: recall_items.Handwritten) -> Fact:
    too = [other for other in recall_items.FACTS if other.statement == each.statement and other != each]
    told_too = tuple(value for other in too for value in (other.value, *other.also))
    topics = (each.topic, *(other.topic for other in too))
    return Fact(topics, each.statement, each.question, each.value, each.also, told_too)


def _changing(each: recall_items.HandwrittenUpdate) -> Fact:
    return Fact((each.topic,), each.statement, each.question, each.old, correction=each.correction, new=each.new)


def _leaving(each: recall_items.HandwrittenForget) -> Fact:
    return Fact((each.topic,), each.statement, each.question, each.value, request=each.request)


def _lives(facts: Sequence[Fact], n: int, people: int, rng: random.Random) -> Iterator[tuple[Fact, ...]]:
    """Up to ``people`` groups of up to ``n`` facts of different topics that do not mix; each fact in one group."""
    left = rng.sample(list(facts), len(facts))
    for _ in range(people):
        life: list[Fact] = []
        for fact in list(left):
            if len(life) < n and _fits(fact, life):
                life.append(fact)
                left.remove(fact)
        if not life:
            return
        yield tuple(life)


def _beside(facts: Sequence[Fact], n: int, rng: random.Random, *, near: bool = False) -> list[Fact]:
    """``n`` other hand-written facts of the same person; ``near``: those on the nearest topics first."""
    pool = [_plain(each) for each in _some(recall_items.FACTS, len(recall_items.FACTS), rng)]
    if near:
        words = {word for fact in facts for word in fact.topics[0].split("_")}
        pool.sort(key=lambda fact: -len(words & set(fact.topics[0].split("_"))))
    beside: list[Fact] = []
    for fact in pool:
        if len(beside) < n and _fits(fact, [*facts, *beside]):
            beside.append(fact)
    return beside
