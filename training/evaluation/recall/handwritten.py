"""Scripts from sentences written by hand: the benchmark's own, and facts that training holds out, to develop on."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from training.data.synthetic.written import fixed_value, load_facts
from training.evaluation.recall import items as recall_items
from training.evaluation.recall.tasks import (
    Fact,
    Line,
    Question,
    Script,
    Task,
    Tier,
    fits,
    forget,
    never_told,
    recall,
    script_of,
    update,
)
from training.evaluation.scoring import names

T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """The sentences of a tier, as facts. told: what is recalled, and told beside other facts; changing, leaving: what
    is corrected, and asked to be forgotten; unknown: questions for what is not told, their topics."""

    tier: Tier
    told: tuple[Fact, ...]
    changing: tuple[Fact, ...]
    leaving: tuple[Fact, ...]
    unknown: tuple[Fact, ...]


@cache
def benchmark_facts() -> Written:
    """What was written for the benchmark alone."""
    unknown = tuple(Fact((each.topic, *each.answered_by), "", each.question, "") for each in recall_items.UNKNOWNS)
    return Written(
        "hand-written",
        tuple(_plain(each) for each in recall_items.FACTS),
        tuple(_changing(each) for each in recall_items.UPDATES),
        tuple(_leaving(each) for each in recall_items.FORGETS),
        unknown,
    )


@cache
def development_facts() -> Written:
    """The hand-written facts that training holds out, each for everything; every other question is a roundabout one."""
    facts = []
    for number, each in enumerate(load_facts(validation=True)):
        value, new = fixed_value(each) or ("", "")
        correction = each.correct[0].replace("{value}", new) if each.correct else ""
        statement, question = each.tell[0].replace("{value}", value), each.ask[number % len(each.ask)]
        topics = (each.topic.removeprefix("own_"),)
        facts.append(Fact(topics, statement, question, value, correction=correction, new=new, request=each.forget[0]))
    changing = tuple(fact for fact in facts if fact.correction)
    return Written("development", tuple(facts), changing, tuple(facts), tuple(facts))


def handwritten(written: Written, task: Task, facts: int, people: int, n: int, rng: random.Random) -> Iterator[Script]:
    """Each sentence is asked about once. Joined and interference memories hold what was written for them, two facts and
    three or four; the development tier has none."""
    tier = written.tier
    if task == "recall":
        for life in _lives(written.told, n, people, rng):
            yield recall(tier, life, rng)
    elif task == "update":
        count = (n + 1) // 2
        for life in _lives(written.changing, count, people, rng):
            yield update(tier, life, _beside(written, life, n - count, rng), rng)
    elif task == "forget":
        count = max(1, n // 2)
        for life in _lives(written.leaving, count, people, rng):
            yield forget(tier, life, _beside(written, life, n - count, rng), rng)
    elif task == "never-told":
        for asked in _lives(written.unknown, n, people, rng):
            beside = _beside(written, asked, n, rng, near=True)
            yield never_told(tier, beside, [(fact.question, None) for fact in asked], rng)
    elif tier != "hand-written":
        return
    elif task == "joined":
        for joined in _some(recall_items.JOINED, math.ceil(facts / 2), rng):
            lines = [Line(text, tuple(v for v in joined.values if names(text, v))) for text in joined.statements]
            told, wanted = " / ".join(joined.statements), tuple((value,) for value in joined.values)
            yield script_of(task, tier, lines, [Question(joined.question, "both values named", told, wanted)], rng)
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
            yield script_of(task, tier, lines, questions, rng)


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
            if len(life) < n and fits(fact, life):
                life.append(fact)
                left.remove(fact)
        if not life:
            return
        yield tuple(life)


def _beside(written: Written, facts: Sequence[Fact], n: int, rng: random.Random, *, near: bool = False) -> list[Fact]:
    """``n`` other hand-written facts of the same person; ``near``: those on the nearest topics first."""
    pool = _some(written.told, len(written.told), rng)
    if near:
        words = {word for fact in facts for word in fact.topics[0].split("_")}
        pool.sort(key=lambda fact: -len(words & set(fact.topics[0].split("_"))))
    beside: list[Fact] = []
    for fact in pool:
        if len(beside) < n and fits(fact, [*facts, *beside]):
            beside.append(fact)
    return beside
