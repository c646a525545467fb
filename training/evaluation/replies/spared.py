"""Which memories survive lines that do not concern them: ``varda-eval CHECKPOINT spared``.

Each of five people tells ten plain facts, one per line, and then says 40 lines that ask for no deletion: 24 of our own,
three of each kind, and 16 lines of real dialogue. The first half comes in the same session, the second half after the
memory was closed and reopened. Four real corrections and requests to forget end the second session. As their facts may
be lost by then, the same four are also said to a fresh memory of the ten facts, reopened after the telling.

A fact is *held* while a statement of the user that names its value is in memory. It is *lost* when it was held after
the telling and no longer is after the 40 lines. Everything goes through ``ChatSession.reply``, decoded greedily.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.evaluation import DATA
from training.evaluation.recall.distractors import unrelated_lines
from training.evaluation.recall.telling import open_store
from training.evaluation.scoring import names, normalised
from training.tables import read_items
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import DataError
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession

GREEDY = GenerationSettings(temperature=0.0)
LINES = 40
"""Lines after the facts of a set, the random ones included."""
REAL = "real dialogue"
"""The kind of the lines taken from the corpora."""
STORABLE = (REAL, "news", "third person")
"""Kinds of lines of which a memory may well keep something; whatever is stored of the others is junk."""

Stage = Literal["telling", "same session", "after restart", "request", "fresh request"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Fact:
    """A line that tells a fact. ``value``: what a statement must name to hold it. ``topic``: words that a line which
    does not concern the fact may not contain."""

    set: int
    id: str
    text: str
    value: str
    topic: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line after which every fact must still be in memory."""

    set: int
    kind: str
    text: str


@dataclass(frozen=True)
class Request:
    """A correction or a request to forget: the statements of the fact ``target`` must go, and nothing else."""

    set: int
    kind: Literal["correction", "request"]
    target: str
    text: str


@dataclass(frozen=True)
class FactSet:
    """Everything that one person says."""

    number: int
    facts: tuple[Fact, ...]
    lines: tuple[Line, ...]
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Change:
    """A statement that a turn stored or deleted. ``facts``: ids of the facts whose value it names."""

    id: int
    role: str
    text: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Exchange:
    """One turn. ``lost``: facts held before it and not after. ``target``: of a request, the fact that should go;
    ``held``: whether that fact was in memory before the turn."""

    set: int
    stage: Stage
    kind: str
    text: str
    reply: str
    stored: tuple[Change, ...]
    deleted: tuple[Change, ...]
    lost: tuple[str, ...]
    target: str | None = None
    held: bool = False

    @property
    def is_line(self) -> bool:
        """Whether this is one of the lines that should delete nothing."""
        return self.stage in ("same session", "after restart")

    @property
    def right(self) -> bool:
        """Of a request: whether its target left the memory."""
        return self.held and self.target in self.lost

    @property
    def wrong(self) -> tuple[Change, ...]:
        """What the turn deleted and should not have: everything, or, of a request, what does not name its target."""
        return tuple(each for each in self.deleted if self.target is None or self.target not in each.facts)


@dataclass(frozen=True)
class SetResult:
    """``held``: facts in memory when all ten were told. ``lost``: those of them that the lines cost."""

    number: int
    facts: tuple[str, ...]
    held: tuple[str, ...]
    lost: tuple[str, ...]
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class Spared:
    """A whole run. ``threshold``: the model's delete threshold during it, None for its own two where it has one for
    corrections and another for requests to forget."""

    sets: tuple[SetResult, ...]
    threshold: float | None
    seed: int
    notices: tuple[str, ...] = ()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        return tuple(exchange for each in self.sets for exchange in each.exchanges)

    @property
    def lines(self) -> tuple[Exchange, ...]:
        return tuple(each for each in self.exchanges if each.is_line)

    def requests(self, stage: Stage = "request") -> tuple[Exchange, ...]:
        return tuple(each for each in self.exchanges if each.stage == stage)


def read_sets(data_dir: Path | None, seed: int = 0, real: Iterator[str] | None = None) -> tuple[FactSet, ...]:
    """The five sets; the lines of each in an order drawn from ``seed``, filled up to LINES with lines of real dialogue.

    data_dir: the corpora; None leaves the real lines out. real: where they come from instead. A line is used only
    where it contains no topic of the set. Raises DataError where a corpus is missing or there are too few lines.
    """
    facts = read_items(DATA / "spared_facts.jsonl", Fact)
    lines = read_items(DATA / "spared_lines.jsonl", Line)
    requests = read_items(DATA / "spared_requests.jsonl", Request)
    source = unrelated_lines(data_dir, seed) if real is None and data_dir is not None else real
    sets = []
    for number in sorted({fact.set for fact in facts}):
        own = [line for line in lines if line.set == number]
        told = tuple(fact for fact in facts if fact.set == number)
        if source is not None:
            own += [Line(number, REAL, text) for text in _unconcerned(source, told, LINES - len(own))]
        random.Random(f"{seed}/{number}").shuffle(own)
        sets.append(FactSet(number, told, tuple(own), tuple(each for each in requests if each.set == number)))
    return tuple(sets)


def concerns(text: str, facts: Sequence[Fact]) -> bool:
    """Whether ``text`` contains a topic or the value of one of ``facts``."""
    said = f" {normalised(text)} "
    return any(f" {normalised(word)} " in said for fact in facts for word in (*fact.topic, fact.value))


def _unconcerned(source: Iterator[str], facts: Sequence[Fact], count: int) -> list[str]:
    found: list[str] = []
    for text in source:
        if len(found) == count:
            break
        if not concerns(text, facts):
            found.append(text)
    if len(found) < count:
        raise DataError("The corpora have too few lines that concern none of the facts.")
    return found


def measure(
    checkpoint: Checkpoint,
    sets: Sequence[FactSet],
    *,
    seed: int = 0,
    threshold: float | None = None,
    on_progress: Progress | None = None,
) -> Spared:
    """Tell every set to a new memory of its own. ``threshold``: delete above this probability instead of the model's
    own thresholds."""
    settings, own = _delete_thresholds(checkpoint.model.config)
    total = sum(2 * len(each.facts) + len(each.lines) + 2 * len(each.requests) for each in sets)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress("spared" if threshold is None else f"threshold {threshold:g}", done, total)

    used = threshold if threshold is not None or len(own) > 1 else next(iter(own.values()))
    try:
        for name, value in own.items():
            setattr(settings, name, value if threshold is None else threshold)
        with tempfile.TemporaryDirectory(prefix="varda-spared-") as scratch:
            results = tuple(_tell_set(checkpoint, each, Path(scratch), step) for each in sets)
    finally:
        for name, value in own.items():
            setattr(settings, name, value)
    missing = any(len(each.lines) < LINES for each in sets)
    notices = ("Lines of real dialogue are left out: they need the corpora, given by --data-dir.",) if missing else ()
    return Spared(results, used, seed, notices)


def _delete_thresholds(config: Any) -> tuple[Any, dict[str, float]]:
    """What holds the thresholds that a delete of this model must exceed, and these by their names."""
    memory = getattr(config, "memory", None)
    if memory is None:
        settings, deciding = config, ["delete_threshold"]
    elif memory.rerank_rank:
        settings, deciding = memory, ["rerank_end_threshold", "rerank_forget_threshold"]
    else:
        settings, deciding = memory, ["delete_threshold"]
    return settings, {name: getattr(settings, name) for name in deciding}


def _tell_set(checkpoint: Checkpoint, facts: FactSet, scratch: Path, step: Callable[[], None]) -> SetResult:
    @contextmanager
    def person(name: str) -> Iterator[_Person]:
        store = open_store(checkpoint, scratch / f"{facts.number}-{name}")
        with ChatSession(checkpoint, store, generation=GREEDY) as session:
            yield _Person(session, facts, step)

    half = len(facts.lines) // 2
    with person("lines") as first:
        first.tell()
        held = first.held()
        for line in facts.lines[:half]:
            first.say(line.text, "same session", line.kind)
    with person("lines") as second:
        for line in facts.lines[half:]:
            second.say(line.text, "after restart", line.kind)
        left = second.held()
        second.ask("request")
    with person("fresh") as again:
        again.tell()
    with person("fresh") as fresh:
        fresh.ask("fresh request")
    return SetResult(
        facts.number,
        tuple(fact.id for fact in facts.facts),
        held=tuple(held),
        lost=tuple(each for each in held if each not in left),
        exchanges=(*first.exchanges, *second.exchanges, *fresh.exchanges),
    )


class _Person:
    """One session with one set, and what was said in it."""

    def __init__(self, session: ChatSession, facts: FactSet, step: Callable[[], None]) -> None:
        self.session, self.facts, self.step = session, facts, step
        self.exchanges: list[Exchange] = []
        self.known = self._memory()

    def held(self) -> dict[str, set[int]]:
        """The ids of the user's statements that hold each fact; facts without any are left out."""
        found: dict[str, set[int]] = {}
        for each in self.known.values():
            for fact in each.facts if each.role == "user" else ():
                found.setdefault(fact, set()).add(each.id)
        return found

    def tell(self) -> None:
        """Say the facts."""
        for fact in self.facts.facts:
            self.say(fact.text, "telling", "fact")

    def ask(self, stage: Stage) -> None:
        """Say the corrections and requests."""
        for request in self.facts.requests:
            self.say(request.text, stage, request.kind, request.target)

    def say(self, text: str, stage: Stage, kind: str, target: str | None = None) -> None:
        before, held = self.known, self.held()
        turn = self.session.reply(text)
        self.known = self._memory()
        deleted = {each.id for each in turn.deleted}
        # a request's own words may name the value and be stored: what counts is what was in memory before it
        lost = tuple(fact for fact, ids in held.items() if not ids & set(self.known))
        self.exchanges.append(
            Exchange(
                self.facts.number, stage, kind, text, turn.reply,
                stored=tuple(each for key, each in self.known.items() if key not in before),
                deleted=tuple(each for key, each in before.items() if key in deleted),
                lost=lost, target=target, held=target in held,
            )
        )  # fmt: skip
        self.step()

    def _memory(self) -> dict[int, Change]:
        return {
            each.id: Change(
                each.id, each.role, each.text,
                tuple(fact.id for fact in self.facts.facts if names(each.text, fact.value)),
            )
            for each in self.session.memory.statements()
        }  # fmt: skip
