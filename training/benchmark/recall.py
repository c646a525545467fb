"""The recall check: facts told in one session, the memory written to disk and opened anew, asked for in another."""

from __future__ import annotations

import math
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.data.relation_families import Relation, render
from training.data.relations import RELATIONS
from training.data.values import draw
from varda_chat.config import GenerationSettings
from varda_chat.memory import MemoryStore
from varda_chat.model.checkpoint import Checkpoint
from varda_chat.session import ChatSession

Phrasing = Literal["seen", "held-out"]
Control = Literal["memory", "no memory", "shuffled memory"]
PHRASINGS: tuple[Phrasing, ...] = ("seen", "held-out")
CONTROLS: tuple[Control, ...] = ("memory", "no memory", "shuffled memory")

GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=48)


@dataclass(frozen=True)
class Fact:
    """One thing to tell and to ask for; the value never occurs in training."""

    relation: str
    value: str
    statement: str
    question: str


@dataclass(frozen=True)
class Answer:
    fact: Fact
    control: Control
    phrasing: Phrasing
    reply: str
    right: bool


@dataclass(frozen=True)
class Score:
    """``right`` of ``total`` answers name the value; ``low`` and ``high`` bound the share at 95 % (Wilson 1927)."""

    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        z, n, p = 1.96, self.total, self.share
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Recall:
    """All answers of a run, and how much was stored for them. ``per_person``: facts told to one memory."""

    answers: tuple[Answer, ...]
    per_person: int
    user_tokens: int
    stored_vectors: int
    facts_stored: int
    facts: int

    def score(self, control: Control, phrasing: Phrasing) -> Score:
        chosen = [a.right for a in self.answers if a.control == control and a.phrasing == phrasing]
        return Score(sum(chosen), len(chosen))


def normalised(text: str) -> str:
    """Lower case, punctuation to spaces, white space folded."""
    return " ".join(re.sub(r"[^\w]+", " ", text.casefold()).split())


def names(reply: str, value: str) -> bool:
    """Whether the reply contains the whole value, as words."""
    return f" {normalised(value)} " in f" {normalised(reply)} "


def draw_facts(
    count: int, phrasing: Phrasing, rng: random.Random, relations: Sequence[Relation] = RELATIONS
) -> list[Fact]:
    """``count`` facts of different relations and with different values, for one person."""
    facts: list[Fact] = []
    taken: set[str] = set()
    for relation in rng.sample(relations, count):
        value = draw(relation.kind, "test", rng)
        while value in taken:
            value = draw(relation.kind, "test", rng)
        taken.add(value)
        tell, ask = _phrasings(relation, phrasing)
        facts.append(Fact(relation.name, value, render(rng.choice(tell), value), rng.choice(ask)))
    return facts


def _phrasings(relation: Relation, phrasing: Phrasing) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if phrasing == "seen":
        return relation.tell, relation.ask
    return relation.tell_held_out, relation.ask_held_out


def measure_recall(
    checkpoint: Checkpoint,
    *,
    facts: int = 200,
    per_person: int = 5,
    seed: int = 0,
    relations: Sequence[Relation] = RELATIONS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Recall:
    """Tell ``facts`` facts, ``per_person`` of them to each memory, close the memories, open them, ask.

    The shuffled memory is another person's, so there are at least two. Every phrasing gets its own facts, as many as
    ``facts`` rounded up to whole people.
    """
    per_person = max(1, min(per_person, facts // 2))  # a shuffled memory needs somebody else
    people = max(2, math.ceil(facts / per_person))
    total, done = len(PHRASINGS) * people * (1 + len(CONTROLS)), 0
    answers: list[Answer] = []
    user_tokens = stored_vectors = facts_stored = told = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    with tempfile.TemporaryDirectory(prefix="varda-recall-") as scratch:
        for phrasing in PHRASINGS:
            rng = random.Random(f"{seed}/{phrasing}")
            lives = [draw_facts(per_person, phrasing, rng, relations) for _ in range(people)]
            folders = [Path(scratch) / phrasing / str(person) for person in range(people)]
            for life, folder in zip(lives, folders, strict=True):
                with _open(checkpoint, folder) as session:
                    for fact in life:
                        turn = session.reply(fact.statement)
                        facts_stored += any(names(s.text, fact.value) for s in turn.stored)
                        user_tokens += len(checkpoint.chat.encode("user", fact.statement).ids) - 2
                        told += 1
                    stored_vectors += session.memory_size
                step()
            for control in CONTROLS:
                for person, life in enumerate(lives):
                    home = folders[(person + 1) % people if control == "shuffled memory" else person]
                    for fact, reply in _ask(checkpoint, home, life, use_memory=control != "no memory"):
                        right = names(reply, fact.value)
                        answers.append(Answer(fact, control, phrasing, reply, right))
                    step()
    return Recall(tuple(answers), per_person, user_tokens, stored_vectors, facts_stored, told)


def _open(checkpoint: Checkpoint, folder: Path, *, use_memory: bool = True, incognito: bool = False) -> ChatSession:
    store = MemoryStore.open(
        folder,
        embedding_dim=checkpoint.model.config.memory_dim,
        fingerprint=checkpoint.fingerprint,
        read_only=incognito,
    )
    return ChatSession(checkpoint, store, incognito=incognito, generation=GREEDY, use_memory=use_memory)


def _ask(checkpoint: Checkpoint, folder: Path, life: list[Fact], *, use_memory: bool) -> Iterator[tuple[Fact, str]]:
    """Ask for each fact in a session of its own, so that no answer helps another; nothing is written."""
    for fact in life:
        with _open(checkpoint, folder, use_memory=use_memory, incognito=True) as session:
            yield fact, session.reply(fact.question).reply
