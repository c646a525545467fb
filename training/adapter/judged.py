"""Pairs of a line and a statement, with what the one is to the other: hand-written ones, and ones made of the facts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from training.adapter.lines import Lines
from training.data.synthetic.leaning import Telling, load_tellings
from training.data.synthetic.messages import typed
from training.data.synthetic.relations import ALL_RELATIONS
from training.data.synthetic.templates import Relation, draw_ask, draw_correct, draw_forget, draw_tell, render
from training.data.synthetic.values import draw
from training.data.synthetic.wordings import HERE
from training.data.synthetic.written import fixed_value, part_of
from training.tables import read_table
from varda_chat.models.chat_format import sentence_spans
from varda_chat.models.configuration import INTENTS

KINDS: Final = ("ask", "forget", "correct", "none")
NEAREST = 24
"""Topics, by a statement near a line, that what does not fit it is drawn from; the nearest may fit."""
REMEMBERED = 20
"""Facts of a memory that is drawn."""
ASKED = 0.65
"""Share of questions among the lines put to such a memory."""
READ = 4
"""Statements of such a memory that are read beside a line: the nearest."""


@dataclass(frozen=True)
class Pair:
    """A line and a statement. answers: the statement answers the line. ends: the line makes it untrue, or asks for it
    to be forgotten."""

    line: str
    statement: str
    answers: bool = False
    ends: bool = False


@dataclass(frozen=True)
class Judged:
    """A hand-written line, what it wants, one of INTENTS or "none", and its pairs."""

    kind: str
    pairs: tuple[Pair, ...]


def load_judged(*, validation: bool, directory: Path = HERE) -> tuple[Judged, ...]:
    """The training part, or the held-out one. Raises DataError naming file and line of a bad entry."""
    judged = [each for _, each in part_of(read_table(directory / "judged.jsonl", _judged), validation=validation)]
    alike = part_of(read_table(directory / "contrast.jsonl", _contrast), validation=validation)
    leaning = (each for row in load_tellings(validation=validation, directory=directory) for each in _leaning(row))
    return (*judged, *(each for _, row in alike for each in row), *leaning)


def _judged(entry: dict[str, Any]) -> Judged:
    kind, line, fitting = entry["kind"], entry["line"], entry["yes"]
    if kind not in KINDS or bool(fitting) == (kind == "none") or not entry["no"]:
        raise ValueError(f"{line!r}: the kind must be one of {', '.join(KINDS)}; only none fits no statement")
    asks = kind == "ask"
    right = [Pair(line, statement, answers=asks, ends=not asks) for statement in fitting]
    return Judged(kind, (*right, *(Pair(line, statement) for statement in entry["no"])))


def _contrast(entry: dict[str, Any]) -> tuple[Judged, ...]:
    """Five lines in like words beside two statements in like words: what fits the one does not fit the other."""
    statement, near = entry["statement"], entry["near"]
    ends, neither = entry["end_kind"], entry["end_neither_kind"]
    if ends not in ("forget", "correct") or neither not in INTENTS:
        raise ValueError(f"{entry['end']!r}: the end_kind must be forget or correct, the end_neither_kind an intent")

    def both(kind: str, line: str, fits: str | None) -> Judged:
        asks = kind == "ask"
        return Judged(
            kind,
            tuple(
                Pair(line, each, answers=asks and each == fits, ends=not asks and each == fits)
                for each in (statement, near)
            ),
        )

    return (
        both("ask", entry["ask"], statement), both("ask", entry["ask_near"], near),
        both("ask", entry["ask_neither"], None), both(ends, entry["end"], statement),
        both(neither, entry["end_neither"], None),
    )  # fmt: skip


def _leaning(row: Telling) -> Iterator[Judged]:
    """What is asked for, ended and asked for in vain of a line that tells several things, each beside all of them."""
    reads = tuple(dict.fromkeys(each.read for each in row.told))
    for each in row.told:
        alone = () if each.read == each.text else (each.text,)  # where what it leans on was not stored
        for line in each.ask:
            pairs = [Pair(line, read, answers=each.holds_value(read)) for read in (*reads, *alone)]
            yield Judged("ask", tuple(pairs))
        yield Judged(each.end_kind, tuple(Pair(each.end, read, ends=read == each.read) for read in reads))
        # what is told beside it of the same thing may be meant too
        apart = [other.read for other in row.told if each.text not in other.read and other.text not in each.read]
        yield Judged("forget", (Pair(each.forget, each.read, ends=True), *(Pair(each.forget, read) for read in apart)))
    for line in row.near:
        yield Judged("none", tuple(Pair(line, read) for read in reads))


@dataclass(frozen=True)
class _Fact:
    topic: str
    statement: str
    asks: tuple[str, ...]
    corrections: tuple[str, ...]
    requests: tuple[str, ...]
    near: tuple[str, ...] = ()
    near_end: tuple[str, ...] = ()


def _told(text: str, value: str) -> str:
    """The sentence of ``text`` that holds ``value``."""
    return next((text[a:b].strip() for a, b in sentence_spans(text) if value in text[a:b]), text)


def _written(relation: Relation) -> _Fact:
    """A hand-written fact."""
    values = fixed_value(relation)
    assert values is not None
    old, new = values
    statement = _told(relation.tell[0].replace("{value}", old), old)
    corrections = tuple(each.replace("{value}", new) for each in relation.correct)
    return _Fact(
        relation.topic, statement, relation.ask, corrections, relation.forget, relation.near, relation.near_end
    )


def _drawn(relation: Relation, rng: random.Random) -> _Fact:
    """A fact of a relation made of templates."""
    old, new = (typed(rng, draw(relation.kind, "train", rng)) for _ in range(2))
    statement = _told(render(draw_tell(relation, rng), old), old)
    corrections = (render(draw_correct(relation, rng), new),) if relation.correct else ()
    return _Fact(relation.topic, statement, (draw_ask(relation, rng),), corrections, (draw_forget(relation, rng),))


def about(request: str) -> str | None:
    """What a plain ``request`` wants forgotten, in its words; None for one in other words."""
    return request[len("forget ") :].rstrip(".! ") if request.lower().startswith("forget ") else None


class DrawnPairs:
    """Pairs made of facts, noted lines and exchanges; what does not fit a line is near it by ``encoder``'s vectors, or
    anything at all: a memory that holds little has nothing near."""

    def __init__(
        self, facts: Sequence[Relation], lines: Lines, encoder: Callable[[list[str]], Tensor], rng: random.Random
    ) -> None:
        self.facts = [*map(_written, facts), *(_drawn(relation, rng) for relation in ALL_RELATIONS)]
        self.vectors = encoder([fact.statement for fact in self.facts])
        self.by_topic: dict[str, list[int]] = {}
        for number, fact in enumerate(self.facts):
            self.by_topic.setdefault(fact.topic, []).append(number)
        self.lines, self.encoder = lines, encoder

    def group(self, rng: random.Random) -> list[Pair]:
        """The pairs of one line."""
        kinds = (
            self._of_fact, self.in_memory, self._noted, self._exchange, self._overview, self._insisted, self.doubted
        )  # fmt: skip
        return rng.choices(kinds, (0.25, 0.46, 0.07, 0.09, 0.03, 0.05, 0.05))[0](rng)

    def _of_fact(self, rng: random.Random) -> list[Pair]:
        fact = rng.choice(self.facts)
        kind = rng.choices(("ask", "correct" if fact.corrections else "ask", "forget"), (0.5, 0.2, 0.3))[0]
        line = rng.choice({"ask": fact.asks, "correct": fact.corrections, "forget": fact.requests}[kind])
        right = {fact.statement}
        if kind != "correct":  # a correction may not fit another value
            right.add(self.facts[rng.choice(self.by_topic[fact.topic])].statement)
        pairs = [Pair(line, each, answers=kind == "ask", ends=kind != "ask") for each in sorted(right)]
        other = [*self._near(line, fact.topic, 2, rng), *self.anything(1, rng, but=fact.topic)]
        return [*pairs, *(Pair(line, each) for each in other)]

    def in_memory(self, rng: random.Random) -> list[Pair]:
        """A line put to a memory of some facts, a question, or a request or correction: about one of them, near to one
        of them, or about what is not there."""
        memory = rng.sample(range(len(self.facts)), REMEMBERED)
        fact = self.facts[memory[0]]
        told, asks = rng.random() < 0.5, rng.random() < ASKED
        nearby = fact.near if asks else fact.near_end
        close = bool(nearby) and rng.random() < 0.7
        ends = fact.requests if rng.random() < 0.5 else fact.corrections or fact.requests
        line = rng.choice(nearby if close and not told else fact.asks if asks else ends)
        others = [number for number in memory[1:] if self.facts[number].topic != fact.topic]
        nearest = self._likeness(line)[others].argsort(descending=True)[:READ].tolist()
        pairs = [Pair(line, self.facts[others[place]].statement) for place in nearest]
        if told or close:
            pairs.append(Pair(line, fact.statement, answers=told and asks, ends=told and not asks))
        return pairs

    def _likeness(self, line: str) -> Tensor:
        """Cosine (n,) of ``line`` to each fact's statement."""
        return self.vectors @ self.encoder([line])[0]

    def _near(self, line: str, topic: str | None, count: int, rng: random.Random) -> list[str]:
        """Statements about other things than ``topic``, one a topic."""
        order = self._likeness(line).argsort(descending=True)[: 8 * NEAREST].tolist()
        first: dict[str, str] = {}
        for number in order:
            first.setdefault(self.facts[number].topic, self.facts[number].statement)
        first.pop(topic or "", None)
        return rng.sample(list(first.values())[1:NEAREST], count)

    def anything(self, count: int, rng: random.Random, but: str | None = None) -> list[str]:
        """Statements, whatever about, but none about the topic ``but``."""
        drawn = (rng.choice(self.facts) for _ in range(count))
        return [fact.statement for fact in drawn if fact.topic != but]

    def _noted(self, rng: random.Random) -> list[Pair]:
        """A noted line whose only statement answers it; or one that none of its statements answers."""
        line = rng.choice(self.lines.noted)
        if line.kind in ("misses", "use", "ignore"):
            return [Pair(line.user, statement) for statement in line.found]
        if len(line.found) == 1 or line.kind == "overview":
            return [Pair(line.user, statement, answers=True) for statement in line.found]
        return []

    def _overview(self, rng: random.Random) -> list[Pair]:
        """A question for all that is remembered: anything answers it."""
        line = rng.choice(self.lines.replies["overview"])
        return [Pair(line, each, answers=True) for each in self.anything(4, rng)]

    def _insisted(self, rng: random.Random) -> list[Pair]:
        """A line that asks for a fact to be kept ("don't forget where I live"), beside the request to forget it."""
        fact, request, what = self._named(rng)
        if what is None:
            return []
        kept = rng.choice(self.lines.replies["insist"]).replace("{w}", what)
        return [Pair(kept, fact.statement), Pair(request, fact.statement, ends=True)]

    def doubted(self, rng: random.Random) -> list[Pair]:
        """A line that doubts whether a fact is still remembered ("you forgot where I live?"), which asks for it."""
        fact, _, what = self._named(rng)
        if what is None:
            return []
        line = rng.choice(self.lines.replies["doubt"]).replace("{w}", what)
        others = [Pair(line, each) for each in self._near(line, fact.topic, 1, rng)]
        return [Pair(line, fact.statement, answers=True), *others]

    def _named(self, rng: random.Random) -> tuple[_Fact, str, str | None]:
        """A fact, a request to forget it, and what that names it."""
        fact = rng.choice(self.facts)
        request = rng.choice(fact.requests)
        return fact, request, about(request)

    def _exchange(self, rng: random.Random) -> list[Pair]:
        asks = rng.random() < 0.5
        line = rng.choice(self.lines.asides) if asks else rng.choice(self.lines.exchanges).user
        return [Pair(line, each) for each in (*self._near(line, None, 1, rng), *self.anything(1, rng))]


def batch_of(judged: Sequence[Judged], drawn: DrawnPairs, size: int, share: float, rng: random.Random) -> list[Pair]:
    """``size`` pairs, ``share`` of them with a hand-written line, which has any statement beside its own."""
    pairs: list[Pair] = []
    while len(pairs) < share * size:
        own = rng.choice(judged).pairs
        pairs += [*own, *(Pair(own[0].line, each) for each in drawn.anything(1, rng))]
    while len(pairs) < size:
        pairs += drawn.group(rng)
    return pairs[:size]


def labels(pairs: Sequence[Pair]) -> Tensor:
    """(n, 2) float, what a judgement of both gives: answers, ends."""
    return torch.tensor([[float(pair.answers), float(pair.ends)] for pair in pairs])
