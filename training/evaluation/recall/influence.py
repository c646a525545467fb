"""Whether answers come from what they recalled: ``varda-eval CHECKPOINT influence``.

The facts of the recall benchmark are told and asked for. Then each question is asked again of the same memory without
the statements that the answer used, and once more without as many others (the paired control). A memory that can be
masked without effect was not what the answer came from.

An answer used the statements whose words the session took from the store: for a model that decides first, those that
stood in the note before the reply and whose vectors the reply read; for ``mini``, those that count as recalled. Masked,
they are not found, and everything is decided and decoded again, greedily.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation
from training.evaluation.recall.benchmark import judge
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import TIERS, Question, Tier
from training.evaluation.recall.telling import GREEDY, open_store, tell
from training.evaluation.scoring import names_any, normalised
from varda_chat.memory import MemoryStore
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession
from varda_chat.session.why import MaskedStore

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Again:
    """The answer with some statements masked."""

    masked: tuple[str, ...]
    reply: str
    right: bool


@dataclass(frozen=True)
class Answer:
    """An answer, and the same question without what it used (``without``; None where it used nothing) and without as
    many other statements (``control``; None where there are no others). ``person``: who was asked, within the tier."""

    tier: Tier
    person: int
    told: str
    asked: str
    reply: str
    right: bool
    used: tuple[str, ...]
    without: Again | None
    control: Again | None

    def changed(self, again: Again) -> bool:
        """Whether the reply has other words then."""
        return normalised(again.reply) != normalised(self.reply)


@dataclass(frozen=True)
class Influence:
    """All answers of a run, and what was run."""

    facts: int
    per_person: int
    tiers: tuple[Tier, ...]
    seed: int
    answers: tuple[Answer, ...]

    def of(self, tier: Tier | None, right: bool) -> list[Answer]:
        """The answers of a tier (None for all) that are right, or that are wrong."""
        return [each for each in self.answers if tier in (None, each.tier) and each.right == right]


def measure(
    checkpoint: Checkpoint,
    *,
    facts: int = 100,
    per_person: int = 5,
    tiers: Sequence[Tier] = TIERS,
    seed: int = 0,
    relations: Sequence[Relation] = RELATIONS,
    on_progress: Progress | None = None,
) -> Influence:
    """Tell ``facts`` of each tier, ``per_person`` to a memory, as the recall benchmark with the same seed does, and ask
    for each with and without what was recalled."""
    scripts = {
        tier: make_scripts("recall", tier, facts=facts, per_person=per_person, seed=seed, relations=relations)
        for tier in tiers
    }
    total = sum(len(script.lines) + len(script.questions) for group in scripts.values() for script in group)
    done = 0

    def step(tier: Tier) -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(f"influence, {tier}", done, total)

    answers = []
    with tempfile.TemporaryDirectory(prefix="varda-influence-") as scratch:
        for tier, group in scripts.items():
            for number, script in enumerate(group):
                told = tell(checkpoint, script, Path(scratch) / tier / str(number), partial(step, tier))
                with open_store(checkpoint, told.directory, read_only=True) as store:
                    for question in script.questions:
                        rng = random.Random(f"{seed}/{tier}/{number}/{question.text}")
                        answers.append(_answer(checkpoint, store, tier, number, question, rng))
                        step(tier)
    return Influence(facts, per_person, tuple(tiers), seed, tuple(answers))


def _answer(
    checkpoint: Checkpoint, store: MemoryStore, tier: Tier, person: int, question: Question, rng: random.Random
) -> Answer:
    whole = MaskedStore(store)
    reply = _reply(checkpoint, whole, question)
    texts = {each.id: each.text for each in store.statements(newest_first=False)}

    def again(masked: Collection[int]) -> Again | None:
        if not masked:
            return None
        text = _reply(checkpoint, MaskedStore(store, masked), question)
        return Again(tuple(texts[each] for each in sorted(masked)), text, judge(question, text))

    wanted = [value for group in question.wanted for value in group]
    others = [each for each, text in texts.items() if each not in whole.used and not names_any(text, wanted)]
    control = rng.sample(others, min(len(whole.used), len(others)))
    return Answer(
        tier, person, question.told, question.text, reply, judge(question, reply),
        tuple(texts[each] for each in sorted(whole.used)), again(whole.used), again(control),
    )  # fmt: skip


def _reply(checkpoint: Checkpoint, store: MaskedStore, question: Question) -> str:
    # read-only and incognito: a question leaves nothing behind for the next
    session = ChatSession(checkpoint, cast(MemoryStore, store), incognito=True, generation=GREEDY)
    return session.reply(question.text).reply
